-- Members of before could pull through the dependency proxy, which a guest may, and nothing else.
ALTER TABLE members ADD COLUMN role TEXT NOT NULL DEFAULT 'guest'
    CHECK (role IN ('guest', 'reporter', 'developer', 'maintainer', 'owner'));

-- From a public group's part of the container registry anybody may pull.
ALTER TABLE groups ADD COLUMN visibility TEXT NOT NULL DEFAULT 'private'
    CHECK (visibility IN ('private', 'public'));
