-- What nodes ask of one another: see Store.Ask. A crash of the database empties it,
-- and whoever asked is told that there was no answer. Numbers are drawn at random.
CREATE UNLOGGED TABLE request (
    id      bigint   PRIMARY KEY,
    journal smallint NOT NULL, -- whose holder is asked
    at_ms   bigint   NOT NULL,
    body    bytea    NOT NULL,
    answer  bytea              -- NULL until there is one
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- All nodes listen to the channel postern. What they are told is r with the number
-- of a journal that is asked for something, a with that of a request that was
-- answered, p for a listener that asks whether it hears, and nothing for all else
-- that Poll reads.

-- Asks, and removes what was left behind by those who died waiting.
CREATE FUNCTION postern_ask(_id bigint, _journal smallint, _body bytea, _outlive_ms bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    _now bigint := postern_now();
BEGIN
    DELETE FROM request r WHERE r.id IN (SELECT o.id FROM request o WHERE o.at_ms < _now - _outlive_ms FOR UPDATE SKIP LOCKED);
    INSERT INTO request VALUES (_id, _journal, _now, _body, NULL);
    PERFORM pg_notify('postern', 'r' || (_journal::integer & 65535)); -- the tables have those over 32767 negative
END $$;

-- Answers, and returns whether anybody still waits.
CREATE FUNCTION postern_answer(_id bigint, _answer bytea) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE request r SET answer = _answer WHERE r.id = _id AND r.answer IS NULL;
    IF FOUND THEN
        PERFORM pg_notify('postern', 'a' || _id);
        RETURN true;
    END IF;
    RETURN false;
END $$;

-- Lets anybody have a journal at once, and says so.
CREATE FUNCTION postern_release(_journal smallint, _epoch bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE heartbeat h SET released = true, word = NULL WHERE h.journal = _journal AND h.epoch = _epoch;
    IF FOUND THEN
        PERFORM pg_notify('postern', '');
    END IF;
END $$;
