CREATE TABLE part (
  id BLOB PRIMARY KEY NOT NULL,
  exhibit_id BLOB NOT NULL,
  meta TEXT NOT NULL,
  checkpoint TEXT NOT NULL,
  signature TEXT,
  signer TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE part_observable (
  id BLOB PRIMARY KEY NOT NULL,
  observable_id BLOB NOT NULL,
  exhibit_id BLOB NOT NULL,
  validity TEXT NOT NULL
) STRICT, WITHOUT ROWID;
