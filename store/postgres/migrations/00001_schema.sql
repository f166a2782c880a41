-- The layout of store/postgres. Ids have 20 bytes, and their byte order is the
-- order of time. A day is a store.Day, whole days since 1970 in UTC; a message's
-- is that of its id, and its attempts lie with it, so that retention drops one
-- partition of each table. Times are microseconds, milliseconds or nanoseconds
-- since 1970 where a column says _us, _ms or _ns: what is read back is what was
-- written, to the last digit, and no session's time zone matters.
--
-- A partition has one day, and the day comes last in its keys: a list of one
-- application is then one range of each partition's index, in the order of ids.

-- Journals: whoever holds the epoch writes. Every batch locks this row FOR SHARE
-- and writes nothing under another epoch, so that the UPDATE which raises the
-- epoch waits for the batch under way, and no batch comes after it.
CREATE TABLE journal (
    id    smallint PRIMARY KEY,
    epoch bigint   NOT NULL,
    -- token is by whom the epoch was raised last: a node that does not know
    -- whether its own raise was committed knows it by that.
    token bytea    NOT NULL
);

-- Leases of journals. A renewal never touches the journal's own row, which every
-- batch locks. The epoch is the journal's: both are raised in one statement.
CREATE TABLE heartbeat (
    journal    smallint PRIMARY KEY REFERENCES journal,
    epoch      bigint   NOT NULL,
    node       text     NOT NULL,
    -- main: the node accepts messages with this journal; others it has adopted.
    main       boolean  NOT NULL,
    started_ms bigint   NOT NULL, -- when the node was
    since_ms   bigint   NOT NULL, -- from when on the lease was renewed without a gap
    expires_ms bigint   NOT NULL,
    -- released: the holder has stopped in order, and anybody may take it at once.
    released   boolean  NOT NULL,
    word       bytea              -- what the holder says to the others: see Store.Tell
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- What the last batch of a journal left behind: store.Head.
CREATE TABLE head (
    journal      smallint PRIMARY KEY REFERENCES journal,
    batch        bigint   NOT NULL,
    next         bigint   NOT NULL,
    low          bigint   NOT NULL,
    last_time_ms bigint   NOT NULL,
    newest_ms    bigint   NOT NULL,
    dropped_us   bigint   NOT NULL,
    rows         bigint   NOT NULL,
    applications bigint   NOT NULL,
    endpoints    bigint   NOT NULL
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- The catalogue, as JSON: few records, read once at the start. kind is the
-- record's type, application 0 for what belongs to none, name its number, name
-- or id.
CREATE TABLE catalogue (
    kind        "char" NOT NULL,
    application bigint NOT NULL,
    name        bytea  NOT NULL,
    record      json   NOT NULL, -- not jsonb, which refuses a NUL in a name
    PRIMARY KEY (kind, application, name)
);

-- The newest change of the catalogue, in one row, which is locked by whoever makes
-- the next. seq counts batches that change it, from 1. routing is the newest of a
-- change that decides where messages go and who may do what, and author which
-- process made that: it knew all that came before. others is the newest such change
-- that somebody else made, of which that process may still have a batch under way that
-- does not know it. A batch that knows an older one than others made is refused.
CREATE TABLE catalogue_version (
    id      boolean PRIMARY KEY CHECK (id),
    seq     bigint  NOT NULL,
    routing bigint  NOT NULL,
    author  bigint  NOT NULL,
    others  bigint  NOT NULL,
    trimmed bigint  NOT NULL -- the log has what came after this
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
INSERT INTO catalogue_version VALUES (true, 1, 0, 0, 0, 0);

-- What was changed lately, and by whom, for the other nodes. kind, application and
-- name are those of the record; 'h' is the health of the endpoint whose number is
-- name, 'd' the last day that was dropped.
CREATE TABLE catalogue_log (
    seq         bigint NOT NULL,
    kind        "char" NOT NULL,
    application bigint NOT NULL,
    name        bytea  NOT NULL,
    author      bigint NOT NULL,
    at_ms       bigint NOT NULL
);
CREATE INDEX catalogue_log_seq ON catalogue_log (seq);

-- Applications that were deleted; their numbers are never used again. Nobody
-- reads their history from then on; it is erased in the background, and then the
-- tombstone is swept.
CREATE TABLE tombstone (
    application bigint  PRIMARY KEY,
    swept       boolean NOT NULL
);

CREATE TABLE health (
    endpoint         bigint  PRIMARY KEY,
    failing_since_us bigint  NOT NULL, -- 0 for never
    disabled         text    NOT NULL,
    disabled_at_us   bigint  NOT NULL,
    failures         integer NOT NULL
);

CREATE TABLE message (
    day                 integer  NOT NULL,
    application         bigint   NOT NULL,
    id                  bytea    NOT NULL,
    journal             smallint NOT NULL, -- who accepted it
    position            bigint   NOT NULL,
    event_type          text     NOT NULL,
    content_type        text     NOT NULL,
    event_id            text     NOT NULL,
    channels            text[],
    tags                text[],
    routes              bigint[],
    size                integer  NOT NULL,
    source              bytea,
    provider_event_type text     NOT NULL,
    caused_by           bytea,
    depth               smallint NOT NULL,
    PRIMARY KEY (application, id, day)
) PARTITION BY RANGE (day);
CREATE INDEX message_position ON message (journal, position);

-- Apart from the headers, so that lists never read payloads. Payloads are not
-- compressed: what they would save costs more CPU than all the rest.
CREATE TABLE content (
    day         integer NOT NULL,
    application bigint  NOT NULL,
    message     bytea   NOT NULL,
    payload     bytea   NOT NULL,
    request     bytea, -- of what came in by a source: JSON
    PRIMARY KEY (application, message, day)
) PARTITION BY RANGE (day);
ALTER TABLE content ALTER payload SET STORAGE EXTERNAL;

CREATE TABLE attempt (
    day            integer  NOT NULL, -- the message's
    application    bigint   NOT NULL,
    message        bytea    NOT NULL,
    endpoint       bigint   NOT NULL,
    n              integer  NOT NULL,
    id             bytea    NOT NULL,
    state          smallint NOT NULL,
    reason         text     NOT NULL,
    succeeded      boolean  NOT NULL,
    permanent      boolean  NOT NULL,
    redialed       boolean  NOT NULL,
    trigger        smallint NOT NULL,
    code           integer  NOT NULL,
    failure        text     NOT NULL,
    url            text     NOT NULL,
    response       bytea,
    started_us     bigint   NOT NULL,
    next_us        bigint   NOT NULL, -- 0 for none
    retry_after_ns bigint   NOT NULL,
    dns_ns         bigint   NOT NULL,
    connect_ns     bigint   NOT NULL,
    tls_ns         bigint   NOT NULL,
    first_byte_ns  bigint   NOT NULL,
    total_ns       bigint   NOT NULL,
    PRIMARY KEY (application, message, endpoint, n, day)
) PARTITION BY RANGE (day);
ALTER TABLE attempt ALTER response SET STORAGE EXTERNAL;
CREATE INDEX attempt_endpoint ON attempt (endpoint, id);

-- Records that end a delivery without an attempt.
CREATE TABLE final (
    day         integer  NOT NULL,
    application bigint   NOT NULL,
    message     bytea    NOT NULL,
    endpoint    bigint   NOT NULL,
    state       smallint NOT NULL,
    reason      text     NOT NULL,
    attempts    integer  NOT NULL,
    at_us       bigint   NOT NULL,
    PRIMARY KEY (application, message, endpoint, day)
) PARTITION BY RANGE (day);

-- Deliveries that ended dead.
CREATE TABLE dead (
    day         integer NOT NULL,
    application bigint  NOT NULL,
    endpoint    bigint  NOT NULL,
    message     bytea   NOT NULL,
    PRIMARY KEY (application, endpoint, message, day)
) PARTITION BY RANGE (day);

-- Rows of deliveries that wait for a retry or were resent: postern.Row. Their
-- journal is whose they are.
CREATE TABLE delivery (
    endpoint    bigint   NOT NULL,
    message     bytea    NOT NULL,
    application bigint   NOT NULL,
    journal     smallint NOT NULL,
    generation  bigint   NOT NULL,
    tries       integer  NOT NULL,
    attempts    integer  NOT NULL,
    next_ms     bigint   NOT NULL,
    wait_ns     bigint   NOT NULL,
    trigger     smallint NOT NULL,
    replay      bytea,
    PRIMARY KEY (endpoint, message)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.1);
CREATE INDEX delivery_schedule ON delivery (journal, endpoint, next_ms, message);

CREATE TABLE behind (
    journal     smallint NOT NULL,
    endpoint    bigint   NOT NULL,
    application bigint   NOT NULL,
    from_id     bytea    NOT NULL,
    PRIMARY KEY (journal, endpoint)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Digests that recognise copies. Age is counted in the id's time, at_ms.
CREATE TABLE dedupe (
    scope       "char"   NOT NULL,
    digest      uuid     NOT NULL,
    application bigint   NOT NULL,
    message     bytea    NOT NULL,
    at_ms       bigint   NOT NULL,
    status      smallint NOT NULL,
    answer      bytea,
    PRIMARY KEY (scope, digest)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX dedupe_age ON dedupe USING brin (at_ms);

CREATE TABLE refusal (
    source       bytea   NOT NULL,
    id           bytea   NOT NULL,
    reason       text    NOT NULL,
    detail       text    NOT NULL,
    request      bytea   NOT NULL, -- JSON
    content_type text    NOT NULL,
    truncated    boolean NOT NULL,
    credentials  bytea,
    body         bytea   NOT NULL,
    PRIMARY KEY (source, id)
);
ALTER TABLE refusal ALTER body SET STORAGE EXTERNAL;

-- Days of which contents or responses were deleted, and lie in the tables until
-- those are rewritten: the first and the last time it happened.
CREATE TABLE expunged (
    day      integer PRIMARY KEY,
    first_ms bigint  NOT NULL,
    last_ms  bigint  NOT NULL
);

-- What the database itself keeps for a node: the last day that was dropped, as
-- decimal digits under 'dropped_day', and the key ring.
CREATE TABLE setting (
    name  text  PRIMARY KEY,
    value bytea NOT NULL
);
