-- Where an upstream negotiates, a tag is another digest for clients that take other media types.
-- `general`: what a client that takes indexes was given, so what any client would be.
ALTER TABLE tags RENAME TO tags_of_before;

CREATE TABLE tags (
    group_id BIGINT NOT NULL REFERENCES groups (id),
    image TEXT NOT NULL,
    tag TEXT NOT NULL,
    media_type TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES manifests (digest),
    general BIGINT NOT NULL,
    checked_at BIGINT NOT NULL,
    PRIMARY KEY (group_id, image, tag, media_type)
);

INSERT INTO tags (group_id, image, tag, media_type, digest, general, checked_at)
SELECT t.group_id, t.image, t.tag, l.media_type, t.digest, 1, t.checked_at
FROM tags_of_before t
JOIN manifest_links l ON l.group_id = t.group_id AND l.image = t.image AND l.digest = t.digest;

DROP TABLE tags_of_before;

-- The upstream's last lists of tags and referrers, for an outage: JSON, at most 4 MiB.
CREATE TABLE listings (
    group_id BIGINT NOT NULL REFERENCES groups (id),
    image TEXT NOT NULL,
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    fetched_at BIGINT NOT NULL,
    PRIMARY KEY (group_id, image, question)
);
