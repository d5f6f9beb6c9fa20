use std::sync::Mutex;

use bytes::Bytes;
use oci::{RepositoryName, Tag};

use super::*;
use crate::db::groups::{GroupId, Visibility};
use crate::db::manifests::StoredManifest;
use crate::db::tags::TagCheck;
use crate::db::tests::database;
use crate::store::Key;

const GRACE: Duration = Duration::from_secs(60);

/// What is whole before something is spoilt: blobs and tagged manifests of these bytes.
const CONTENT: [&[u8]; 3] = [b"one", b"two", b"three"];

struct Cell {
    _folder: tempfile::TempDir,
    objects: tempfile::TempDir,
    db: Db,
    store: Store,
    group: GroupId,
}

#[derive(Debug, Default)]
struct Told(Mutex<Vec<Defect>>);

impl Observer for Told {
    fn expect(&self, _: u64, _: u64) {}
    fn advance(&self, _: u64) {}
    fn tell(&self, defect: &Defect) {
        self.0.lock().unwrap().push(defect.clone());
    }
}

fn image() -> RepositoryName {
    "library/app".parse().unwrap()
}

impl Cell {
    async fn new() -> Self {
        let (folder, db) = database().await;
        let objects = tempfile::tempdir().unwrap();
        let lines =
            format!("url = \"file://{}\"\nspool = \"/tmp/spool\"", objects.path().display());
        let store = Store::open(&toml::from_str(&lines).unwrap()).unwrap();
        let group = db.create_group("acme", Visibility::Private).await.unwrap();
        let cell = Self { _folder: folder, objects, db, store, group };
        for bytes in CONTENT {
            cell.add(bytes).await;
        }
        cell
    }

    async fn add(&self, bytes: &'static [u8]) {
        let digest = Digest::of(bytes);
        for class in Class::ALL {
            self.put(class, &digest, bytes).await;
        }
        let size = bytes.len() as u64;
        self.db.commit_blob(&digest, size, &[self.group]).await.unwrap();
        let (image, tag): (_, Tag) = (image(), digest.hex().parse().unwrap());
        let manifest = StoredManifest { digest, size, media_type: "a/b".into() };
        self.db.commit_manifest(self.group, &image, &manifest).await.unwrap();
        let StoredManifest { digest, media_type, .. } = &manifest;
        let (group, image, tag) = (self.group, &image, &tag);
        let check = TagCheck { group, image, tag, digest, media_type, general: true, at: 1 };
        self.db.point_tag(check).await.unwrap();
    }

    async fn put(&self, class: Class, digest: &Digest, bytes: &'static [u8]) {
        self.store.put(&class.key(digest), Bytes::from_static(bytes)).await.unwrap();
    }

    fn age(&self, class: Class, digest: &Digest, by: Duration) {
        let path = self.objects.path().join(class.key(digest).path().as_ref());
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::SystemTime::now() - by).unwrap();
    }

    /// Does what the database's own rules would not let anybody do.
    async fn sql(&self, text: String) {
        let sql = format!("PRAGMA foreign_keys = OFF; {text}; PRAGMA foreign_keys = ON");
        self.db.execute(sql).await;
    }

    async fn check(&self, repair: bool, quick: bool) -> (Summary, Vec<Defect>) {
        let told = Told::default();
        let options = Options { repair, quick, grace: GRACE };
        let summary = run(self.db.clone(), self.store.clone(), options, &told).await.unwrap();
        (summary, told.0.into_inner().unwrap())
    }

    /// Whether a pull of this content by digest and by tag would find all of it, or none.
    async fn sees(&self, class: Class, bytes: &[u8]) -> bool {
        let (digest, group) = (Digest::of(bytes), self.group);
        match class {
            Class::Blob => self.db.linked_blob(group, &digest).await.unwrap().is_some(),
            Class::Manifest => {
                let tag = digest.hex().parse().unwrap();
                let tagged = self.db.tagged_manifests(group, &image(), &tag).await.unwrap();
                let linked = self.db.linked_manifest(group, &image(), &digest).await.unwrap();
                assert_eq!(tagged.len(), usize::from(linked.is_some()));
                linked.is_some()
            }
        }
    }
}

/// Every way to spoil the content `two`, and what it is called.
const DAMAGES: [Kind; 6] = [
    Kind::MissingObject,
    Kind::WrongLength,
    Kind::WrongBytes,
    Kind::UnreadableRow,
    Kind::Orphan,
    Kind::DanglingLink,
];

async fn spoil(cell: &Cell, kind: Kind, class: Class) {
    let digest = Digest::of(b"two");
    let table = format!("{}s", class.as_str());
    let links = match class {
        Class::Blob => "blob_links",
        Class::Manifest => "manifest_links",
    };
    match kind {
        Kind::MissingObject => cell.store.delete(&class.key(&digest)).await.unwrap(),
        Kind::WrongLength => cell.put(class, &digest, b"tw").await,
        Kind::WrongBytes => cell.put(class, &digest, b"owt").await,
        Kind::UnreadableRow => {
            cell.sql(format!("UPDATE {table} SET size = -1 WHERE digest = '{digest}'")).await;
        }
        Kind::Orphan => {
            cell.db.forget(class, &digest.to_string()).await.unwrap();
            cell.age(class, &digest, GRACE * 2);
        }
        Kind::DanglingLink if class == Class::Blob => {
            cell.sql(format!("INSERT INTO {links} VALUES (1, 'sha256:gone', 1, 1)")).await;
        }
        Kind::DanglingLink => {
            cell.sql(
                "INSERT INTO tags (group_id, image, tag, media_type, digest, general, checked_at)
                 VALUES (1, 'a', 'b', 'c/d', 'sha256:gone', 1, 1)"
                    .to_owned(),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn what_is_whole_is_clean() {
    let cell = Cell::new().await;
    let (summary, told) = cell.check(true, false).await;
    assert_eq!((summary, told), (Summary { rows: 6, found: 0, repaired: 0 }, vec![]));
    for class in Class::ALL {
        for bytes in CONTENT {
            assert!(cell.sees(class, bytes).await);
        }
    }
}

#[tokio::test]
async fn each_damage_is_told_as_what_it_is_and_repaired_without_touching_the_rest() {
    for kind in DAMAGES {
        for class in Class::ALL {
            let cell = Cell::new().await;
            spoil(&cell, kind, class).await;
            for repair in [false, true] {
                let (summary, told) = cell.check(repair, false).await;
                let [defect] = told.as_slice() else { panic!("{kind:?} {class:?}: {told:?}") };
                assert_eq!((defect.kind, defect.class, defect.repaired), (kind, class, repair));
                assert_eq!(summary.is_clean(), repair);
            }
            let (summary, told) = cell.check(false, false).await;
            assert!(summary.is_clean() && told.is_empty(), "{kind:?} {class:?}: {told:?}");
            untouched(&cell, kind, class).await;
        }
    }
}

async fn untouched(cell: &Cell, kind: Kind, spoilt: Class) {
    for class in Class::ALL {
        for bytes in CONTENT {
            let gone = class == spoilt && bytes == b"two" && kind != Kind::DanglingLink;
            let what = format!("{kind:?} {spoilt:?} {class:?} {bytes:?}");
            assert_eq!(cell.sees(class, bytes).await, !gone, "{what}");
            let key = Digest::of(bytes);
            let object = cell.store.read(&class.key(&key)).await;
            if gone {
                // A row that cannot be read says nothing of its object, which is an orphan in time.
                assert!(kind == Kind::UnreadableRow || object.is_err(), "{what}");
            } else {
                assert_eq!(object.unwrap(), bytes, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_quick_check_sees_all_but_wrong_bytes() {
    for kind in DAMAGES {
        let cell = Cell::new().await;
        spoil(&cell, kind, Class::Blob).await;
        let (_, told) = cell.check(false, true).await;
        assert_eq!(told.len(), usize::from(kind != Kind::WrongBytes), "{kind:?}");
    }
}

#[tokio::test]
async fn an_object_that_may_be_a_fills_is_no_orphan() {
    let cell = Cell::new().await;
    let digest = Digest::of(b"under way");
    cell.put(Class::Blob, &digest, b"under way").await;
    assert!(cell.check(true, false).await.1.is_empty());
    assert!(cell.store.read(&Key::Blob(&digest)).await.is_ok());
}

#[tokio::test]
async fn an_orphan_that_got_its_row_or_was_written_anew_is_none_any_more() {
    let cell = Cell::new().await;
    let digest = Digest::of(b"two");
    let stat = async || cell.store.stat(&Key::Blob(&digest)).await.unwrap().unwrap();
    let remove = async |seen: &Stored| {
        let (class, digest, seen) = (Class::Blob, digest.clone(), seen.clone());
        let orphan = sweep::Orphan { class, digest, seen };
        sweep::remove_orphan(&cell.db, &cell.store, &orphan).await.unwrap()
    };
    assert!(!remove(&stat().await).await, "it has a row");
    cell.db.forget(Class::Blob, &digest.to_string()).await.unwrap();
    let seen = Stored { modified: std::time::SystemTime::UNIX_EPOCH, ..stat().await };
    assert!(!remove(&seen).await, "it was written anew");
    assert!(remove(&stat().await).await);
}

#[tokio::test]
async fn what_is_no_object_of_ours_is_neither_told_nor_touched() {
    let cell = Cell::new().await;
    let files = ["notes.txt", "blobs/sha256/ab/notes.txt", "uploads/two"];
    for name in files {
        let path = cell.objects.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "mine").unwrap();
    }
    assert!(cell.check(true, false).await.1.is_empty());
    assert!(files.iter().all(|name| cell.objects.path().join(name).exists()));
}

#[tokio::test]
async fn a_check_walks_through_more_rows_than_a_page_holds() {
    let cell = Cell::new().await;
    let count = crate::db::audit::PAGE * 2 + 1;
    for number in 0..count {
        let digest = Digest::of(&number.to_le_bytes());
        cell.db.commit_blob(&digest, 1, &[]).await.unwrap();
    }
    let (summary, told) = cell.check(true, true).await;
    assert_eq!(told.len(), count);
    assert_eq!(
        summary,
        Summary { rows: count as u64 + 6, found: count as u64, repaired: count as u64 }
    );
    assert!(cell.check(false, true).await.1.is_empty());
}

#[tokio::test]
async fn a_row_that_another_one_holds_fast_stays_and_the_rest_is_mended() {
    for class in Class::ALL {
        let cell = Cell::new().await;
        let (table, digest) = (format!("{}s", class.as_str()), Digest::of(b"two"));
        for bytes in CONTENT {
            cell.store.delete(&class.key(&Digest::of(bytes))).await.unwrap();
        }
        let pins = format!("CREATE TABLE pins (digest TEXT REFERENCES {table} (digest))");
        cell.sql(format!("{pins}; INSERT INTO pins VALUES ('{digest}')")).await;
        let (summary, told) = cell.check(true, false).await;
        assert_eq!((summary.found, summary.repaired), (3, 2));
        let stays = |defect: &&Defect| !defect.repaired;
        let left: Vec<_> = told.iter().filter(stays).map(|defect| &defect.digest).collect();
        assert_eq!(left, [&digest.to_string()]);
        cell.sql("DROP TABLE pins".to_owned()).await;
        assert!(cell.check(true, false).await.0.is_clean());
    }
}
