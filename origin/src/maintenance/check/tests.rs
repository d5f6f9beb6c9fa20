use std::sync::Mutex;

use bytes::Bytes;
use oci::{RepositoryName, Tag};
use strum::IntoEnumIterator as _;

use super::*;
use crate::access::{GroupId, Visibility};
use crate::db::manifests::StoredManifest;
use crate::db::tags::TagCheck;
use crate::db::tests::database;
use crate::store::Key;

const GRACE: Duration = Duration::from_secs(60);

/// The content of a healthy Cell: blobs and tagged manifests with these bytes.
const CONTENT: [&[u8]; 3] = [b"one", b"two", b"three"];

struct Cell {
    _folder: tempfile::TempDir,
    objects: tempfile::TempDir,
    db: Db,
    store: Store,
    group: GroupId,
}

#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Defect>>);

impl Observer for Recorder {
    fn add_total(&self, _: u64, _: u64) {}
    fn row_checked(&self, _: u64) {}
    fn defect(&self, defect: &Defect) {
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
        let group = db.create_group(&"acme".parse().unwrap(), Visibility::Private).await.unwrap();
        let cell = Self { _folder: folder, objects, db, store, group };
        for bytes in CONTENT {
            cell.add(bytes).await;
        }
        cell
    }

    async fn add(&self, bytes: &'static [u8]) {
        let digest = Digest::of(bytes);
        for &kind in ObjectKind::VARIANTS {
            self.put(kind, &digest, bytes).await;
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

    async fn put(&self, kind: ObjectKind, digest: &Digest, bytes: &'static [u8]) {
        self.store.put(&kind.key(digest), Bytes::from_static(bytes)).await.unwrap();
    }

    fn set_age(&self, kind: ObjectKind, digest: &Digest, age: Duration) {
        let path = self.objects.path().join(kind.key(digest).path().as_ref());
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::SystemTime::now() - age).unwrap();
    }

    /// Executes SQL without foreign key checks.
    async fn sql(&self, text: String) {
        let sql = format!("PRAGMA foreign_keys = OFF; {text}; PRAGMA foreign_keys = ON");
        self.db.execute(sql).await;
    }

    async fn check(&self, repair: bool, quick: bool) -> (Summary, Vec<Defect>) {
        let recorder = Recorder::default();
        let options = Options { repair, quick, grace: GRACE };
        let summary = run(self.db.clone(), self.store.clone(), options, &recorder).await.unwrap();
        (summary, recorder.0.into_inner().unwrap())
    }

    /// Returns whether a pull finds this content in the database, by digest and by tag alike.
    async fn serves(&self, kind: ObjectKind, bytes: &[u8]) -> bool {
        let (digest, group) = (Digest::of(bytes), self.group);
        match kind {
            ObjectKind::Blob => self.db.linked_blob(group, &digest).await.unwrap().is_some(),
            ObjectKind::Manifest => {
                let tag = digest.hex().parse().unwrap();
                let tagged = self.db.tagged_manifests(group, &image(), &tag).await.unwrap();
                let linked = self.db.linked_manifest(group, &image(), &digest).await.unwrap();
                assert_eq!(tagged.len(), usize::from(linked.is_some()));
                linked.is_some()
            }
        }
    }
}

/// Causes this defect in the content `two`.
async fn damage(cell: &Cell, defect: DefectKind, kind: ObjectKind) {
    let digest = Digest::of(b"two");
    match defect {
        DefectKind::MissingObject => cell.store.delete(&kind.key(&digest)).await.unwrap(),
        DefectKind::WrongLength => cell.put(kind, &digest, b"tw").await,
        DefectKind::WrongBytes => cell.put(kind, &digest, b"owt").await,
        DefectKind::UnreadableRow => {
            cell.sql(format!("UPDATE {kind}s SET size = -1 WHERE digest = '{digest}'")).await;
        }
        DefectKind::Orphan => {
            cell.db.forget(kind, &digest.to_string()).await.unwrap();
            cell.set_age(kind, &digest, GRACE * 2);
        }
        DefectKind::DanglingLink => {
            let insert = match kind {
                ObjectKind::Blob => "INSERT INTO blob_links VALUES (1, 'sha256:gone', 1, 1)",
                ObjectKind::Manifest => {
                    "INSERT INTO tags
                     (group_id, image, tag, media_type, digest, general, checked_at)
                     VALUES (1, 'a', 'b', 'c/d', 'sha256:gone', 1, 1)"
                }
            };
            cell.sql(insert.to_owned()).await;
        }
    }
}

#[tokio::test]
async fn a_healthy_cell_has_no_defects() {
    let cell = Cell::new().await;
    let (summary, defects) = cell.check(true, false).await;
    assert_eq!((summary, defects), (Summary { rows: 6, found: 0, repaired: 0 }, vec![]));
    for &kind in ObjectKind::VARIANTS {
        for bytes in CONTENT {
            assert!(cell.serves(kind, bytes).await);
        }
    }
}

#[tokio::test]
async fn each_kind_of_defect_is_reported_and_repaired_without_affecting_the_rest() {
    for defect in DefectKind::iter() {
        for &kind in ObjectKind::VARIANTS {
            let cell = Cell::new().await;
            damage(&cell, defect, kind).await;
            for repair in [false, true] {
                let (summary, found) = cell.check(repair, false).await;
                let [only] = found.as_slice() else { panic!("{defect} {kind}: {found:?}") };
                assert_eq!((only.kind, only.object, only.repaired), (defect, kind, repair));
                assert_eq!(summary.is_clean(), repair);
            }
            let (summary, found) = cell.check(false, false).await;
            assert!(summary.is_clean() && found.is_empty(), "{defect} {kind}: {found:?}");
            assert_rest_is_intact(&cell, defect, kind).await;
        }
    }
}

async fn assert_rest_is_intact(cell: &Cell, defect: DefectKind, damaged: ObjectKind) {
    for &kind in ObjectKind::VARIANTS {
        for bytes in CONTENT {
            let is_link = defect == DefectKind::DanglingLink;
            let removed = kind == damaged && bytes == b"two" && !is_link;
            let case = format!("{defect} {damaged}, {kind} {bytes:?}");
            assert_eq!(cell.serves(kind, bytes).await, !removed, "{case}");
            let object = cell.store.read(&kind.key(&Digest::of(bytes))).await;
            if removed {
                // An unreadable row does not identify its object, which is swept later.
                assert!(defect == DefectKind::UnreadableRow || object.is_err(), "{case}");
            } else {
                assert_eq!(object.unwrap(), bytes, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_quick_check_finds_everything_except_wrong_bytes() {
    for defect in DefectKind::iter() {
        let cell = Cell::new().await;
        damage(&cell, defect, ObjectKind::Blob).await;
        let (_, found) = cell.check(false, true).await;
        assert_eq!(found.len(), usize::from(defect != DefectKind::WrongBytes), "{defect}");
    }
}

#[tokio::test]
async fn an_object_younger_than_the_grace_period_is_not_an_orphan() {
    let cell = Cell::new().await;
    let digest = Digest::of(b"not committed yet");
    cell.put(ObjectKind::Blob, &digest, b"not committed yet").await;
    assert!(cell.check(true, false).await.1.is_empty());
    assert!(cell.store.read(&Key::Blob(&digest)).await.is_ok());
}

#[tokio::test]
async fn an_orphan_that_got_its_row_or_was_rewritten_is_kept() {
    let cell = Cell::new().await;
    let digest = Digest::of(b"two");
    let stat = async || cell.store.stat(&Key::Blob(&digest)).await.unwrap().unwrap();
    let remove = async |info: ObjectInfo| {
        let orphan = sweep::Orphan { kind: ObjectKind::Blob, digest: digest.clone(), info };
        sweep::remove_orphan(&cell.db, &cell.store, &orphan).await.unwrap()
    };
    assert!(!remove(stat().await).await, "it has a row");
    cell.db.forget(ObjectKind::Blob, &digest.to_string()).await.unwrap();
    let listed = ObjectInfo { modified: std::time::SystemTime::UNIX_EPOCH, ..stat().await };
    assert!(!remove(listed).await, "it was rewritten after it was listed");
    assert!(remove(stat().await).await);
}

#[tokio::test]
async fn foreign_files_are_neither_reported_nor_removed() {
    let cell = Cell::new().await;
    let files = ["notes.txt", "blobs/sha256/ab/notes.txt", "uploads/two"];
    for name in files {
        let path = cell.objects.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "foreign").unwrap();
    }
    assert!(cell.check(true, false).await.1.is_empty());
    assert!(files.iter().all(|name| cell.objects.path().join(name).exists()));
}

#[tokio::test]
async fn a_check_reads_more_rows_than_fit_in_one_page() {
    let cell = Cell::new().await;
    let count = crate::db::audit::PAGE * 2 + 1;
    for number in 0..count {
        let digest = Digest::of(&number.to_le_bytes());
        cell.db.commit_blob(&digest, 1, &[]).await.unwrap();
    }
    let (summary, defects) = cell.check(true, true).await;
    assert_eq!(defects.len(), count);
    assert_eq!(
        summary,
        Summary { rows: count as u64 + 6, found: count as u64, repaired: count as u64 }
    );
    assert!(cell.check(false, true).await.1.is_empty());
}

#[tokio::test]
async fn a_row_that_another_row_refers_to_is_kept_and_the_rest_is_repaired() {
    for &kind in ObjectKind::VARIANTS {
        let cell = Cell::new().await;
        let digest = Digest::of(b"two");
        for bytes in CONTENT {
            cell.store.delete(&kind.key(&Digest::of(bytes))).await.unwrap();
        }
        let pins = format!("CREATE TABLE pins (digest TEXT REFERENCES {kind}s (digest))");
        cell.sql(format!("{pins}; INSERT INTO pins VALUES ('{digest}')")).await;
        let (summary, defects) = cell.check(true, false).await;
        assert_eq!((summary.found, summary.repaired), (3, 2));
        let unrepaired = defects.iter().filter(|defect| !defect.repaired);
        let unrepaired: Vec<_> = unrepaired.map(|defect| &defect.digest).collect();
        assert_eq!(unrepaired, [&digest.to_string()]);
        cell.sql("DROP TABLE pins".to_owned()).await;
        assert!(cell.check(true, false).await.0.is_clean());
    }
}
