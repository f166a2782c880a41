-- Raises a journal's epoch and takes its lease, in one statement. The row of the
-- journal is locked, which waits for the batch under way; whoever held the epoch
-- before writes nothing any more. _epoch is the caller's own, NULL for one that
-- takes the journal from whoever has it. A caller that does not know what became
-- of its last call finds its token there.
--
-- epoch is the new one, NULL where it is somebody else's by now; holder is whose
-- lease was still running, NULL for nobody's. What the last batch is shows in a
-- statement after this one: this one's own picture of the tables may be older
-- than the batch that it waited for.
CREATE FUNCTION postern_raise(_journal smallint, _epoch bigint, _token bytea, _node text, _lease_ms bigint,
    OUT epoch bigint, OUT holder text)
LANGUAGE plpgsql AS $$
DECLARE
    _now  bigint := extract(epoch FROM clock_timestamp()) * 1000;
    _last bytea;
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true); -- an epoch that is in use never goes back
    END IF;
    INSERT INTO journal VALUES (_journal, 0, '') ON CONFLICT DO NOTHING;
    INSERT INTO heartbeat VALUES (_journal, 0, '', 0, true) ON CONFLICT DO NOTHING;
    INSERT INTO head VALUES (_journal, 0, 0, 0, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING;
    SELECT h.node INTO holder FROM heartbeat h
        WHERE h.journal = _journal AND h.expires_ms > _now AND NOT h.released;
    PERFORM FROM heartbeat h WHERE h.journal = _journal FOR UPDATE;
    SELECT j.epoch, j.token INTO epoch, _last FROM journal j WHERE j.id = _journal FOR UPDATE;
    IF _last <> _token THEN
        IF _epoch <> epoch THEN
            epoch := NULL;
            RETURN;
        END IF;
        epoch := epoch + 1;
        UPDATE journal j SET epoch = postern_raise.epoch, token = _token WHERE j.id = _journal;
        UPDATE heartbeat h SET epoch = postern_raise.epoch, node = _node, expires_ms = _now + _lease_ms, released = false
            WHERE h.journal = _journal;
    END IF;
END $$;

-- Prolongs a lease; false where the journal is somebody else's by now.
CREATE FUNCTION postern_renew(_journal smallint, _epoch bigint, _lease_ms bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE heartbeat h SET expires_ms = extract(epoch FROM clock_timestamp()) * 1000 + _lease_ms, released = false
        WHERE h.journal = _journal AND h.epoch = _epoch;
    RETURN FOUND;
END $$;
