-- One text for SQLite and PostgreSQL. Times are milliseconds since 1970.

CREATE TABLE groups (
    id BIGINT PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    parent_id BIGINT REFERENCES groups (id),
    enabled BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE users (
    id BIGINT PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE members (
    group_id BIGINT NOT NULL REFERENCES groups (id),
    user_id BIGINT NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (group_id, user_id)
);

-- A token is known by its SHA-256 only.
CREATE TABLE tokens (
    hash TEXT PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

-- Bytes that are stored, once per digest whoever pulled them.
CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE manifests (
    digest TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- What a group may see: a digest becomes visible by the group's own pull only. The media type is
-- a group's too, or one tenant's upstream could change what another tenant is told.
CREATE TABLE blob_links (
    group_id BIGINT NOT NULL REFERENCES groups (id),
    digest TEXT NOT NULL REFERENCES blobs (digest),
    created_at BIGINT NOT NULL,
    read_at BIGINT NOT NULL,
    PRIMARY KEY (group_id, digest)
);

CREATE TABLE manifest_links (
    group_id BIGINT NOT NULL REFERENCES groups (id),
    image TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES manifests (digest),
    media_type TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    read_at BIGINT NOT NULL,
    PRIMARY KEY (group_id, image, digest)
);

CREATE TABLE tags (
    group_id BIGINT NOT NULL REFERENCES groups (id),
    image TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES manifests (digest),
    checked_at BIGINT NOT NULL,
    PRIMARY KEY (group_id, image, tag)
);
