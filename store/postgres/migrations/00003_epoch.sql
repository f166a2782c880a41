-- Who writes a journal. All that raises an epoch locks the heartbeat's row before
-- that of the journal, which waits for the batch under way; whoever held the epoch
-- before writes nothing any more. In all of it _lease_ms is how long a lease lasts.

-- The time that all nodes go by, in milliseconds since 1970.
CREATE FUNCTION postern_now() RETURNS bigint LANGUAGE sql VOLATILE AS
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint';

-- The server that the database is at, by when it was started, and from when on nodes
-- have met it there. A standby that takes over was started at another time than the
-- server that it followed, whose table it has.
CREATE TABLE server (
    one      boolean     PRIMARY KEY DEFAULT true CHECK (one),
    started  timestamptz NOT NULL,
    since_ms bigint      NOT NULL
);

-- Reports whether nodes have met the database at this server for as long as a lease
-- lasts: before that, one that has run out says nothing of its holder. It locks the
-- server's row before any of the leases. What these say is by the clock of the server
-- before, and counts here for no more than a lease that is new.
CREATE FUNCTION postern_up(_lease_ms bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _now   bigint := postern_now();
    _since bigint;
BEGIN
    SELECT s.since_ms INTO _since FROM server s WHERE s.started = pg_postmaster_start_time();
    IF FOUND THEN
        RETURN _since <= _now - _lease_ms;
    END IF;
    INSERT INTO server AS s VALUES (true, pg_postmaster_start_time(), _now)
        ON CONFLICT (one) DO UPDATE SET started = excluded.started, since_ms = excluded.since_ms WHERE s.started <> excluded.started;
    IF FOUND THEN
        UPDATE heartbeat h SET since_ms = least(h.since_ms, _now), expires_ms = least(h.expires_ms, _now + _lease_ms)
            WHERE h.since_ms > _now OR h.expires_ms > _now + _lease_ms;
    END IF;
    RETURN false;
END $$;

-- Reports whether nothing of a journal is left to be done.
CREATE FUNCTION postern_idle(_journal smallint) RETURNS boolean LANGUAGE sql STABLE SET enable_seqscan = off AS $$
    SELECT NOT EXISTS (SELECT FROM head h WHERE h.journal = _journal AND (h.low < h.next OR h.rows > 0))
        AND NOT EXISTS (SELECT FROM behind b WHERE b.journal = _journal)
        AND NOT EXISTS (SELECT FROM delivery d WHERE d.journal = _journal)
$$;

-- Has what is raised be as durable as a batch is: an epoch that a crash takes back
-- would be given out twice.
CREATE FUNCTION postern_durable() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true); -- to the end of the transaction
    END IF;
END $$;

-- Makes a journal that is nobody's, unless it is there; tells whether it was not.
CREATE FUNCTION postern_found(_journal smallint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO journal VALUES (_journal, 0, '') ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO heartbeat VALUES (_journal, 0, '', false, 0, 0, 0, true, NULL);
    INSERT INTO head VALUES (_journal, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    RETURN true;
END $$;

-- Takes a journal that its holder has released, or whose lease has run out while
-- _sure, or that a node has by the name _from, which is NULL for nobody's. The epoch
-- is the new one, NULL where it is not to be had. _started_ms is NULL for now.
CREATE FUNCTION postern_take(_journal smallint, _node text, _main boolean, _started_ms bigint, _sure boolean, _from text, _lease_ms bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    _now   bigint := postern_now();
    _epoch bigint;
BEGIN
    PERFORM postern_durable();
    -- Under the row's lock, so that of several only one finds it free.
    UPDATE heartbeat h SET epoch = h.epoch + 1, node = _node, main = _main, started_ms = coalesce(_started_ms, _now), since_ms = _now,
            expires_ms = _now + _lease_ms, released = false, word = NULL
        WHERE h.journal = _journal AND (h.released OR (_sure AND h.expires_ms <= _now) OR h.node = _from)
        RETURNING h.epoch INTO _epoch;
    IF FOUND THEN
        UPDATE journal j SET epoch = _epoch, token = '' WHERE j.id = _journal;
    END IF;
    RETURN _epoch;
END $$;

-- Takes a journal for a node that starts: with _reclaim the one that it had under
-- the same name, else one that is free, those first that nothing is left of, else a
-- new one.
CREATE FUNCTION postern_start(_node text, _reclaim boolean, _lease_ms bigint, OUT journal smallint, OUT epoch bigint)
LANGUAGE plpgsql AS $$
DECLARE
    _up   boolean := postern_up(_lease_ms);
    _from text;
BEGIN
    -- Half of a copy is nobody's: another copy goes on with it.
    SELECT h.journal, h.node INTO journal, _from FROM heartbeat h
        WHERE EXISTS (SELECT FROM setting s WHERE s.name = 'postern_move') OR (_reclaim AND h.node = _node AND h.main)
        ORDER BY h.journal LIMIT 1;
    epoch := postern_take(journal, _node, true, NULL, false, _from, _lease_ms);
    IF epoch IS NOT NULL THEN
        RETURN;
    END IF;
    LOOP
        -- What another node is just taking is passed over.
        SELECT h.journal INTO journal FROM heartbeat h
            WHERE h.released OR (_up AND h.expires_ms <= postern_now())
            ORDER BY NOT postern_idle(h.journal), h.journal LIMIT 1 FOR UPDATE SKIP LOCKED;
        EXIT WHEN journal IS NULL;
        epoch := postern_take(journal, _node, true, NULL, true, NULL, _lease_ms);
        IF epoch IS NOT NULL THEN
            RETURN;
        END IF;
    END LOOP;
    LOOP
        SELECT coalesce(max(j.id) + 1, 0) INTO journal FROM journal j;
        EXIT WHEN postern_found(journal);
    END LOOP;
    epoch := postern_take(journal, _node, true, NULL, false, NULL, _lease_ms);
END $$;

-- Takes a journal for a node that holds another one, its main journal _by, under
-- the epoch _by_epoch. Where nobody has released the journal, the node has to have
-- held its own for as long as a lease lasts, and the database to have been up for as
-- long where it is: after an outage, or a failover, all leases have run out, and their
-- holders are about to renew them. After a short one some have not: who could not
-- renew its own for a while knows nothing of others either.
CREATE FUNCTION postern_adopt(_journal smallint, _node text, _by smallint, _by_epoch bigint, _lease_ms bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    _up         boolean := postern_up(_lease_ms);
    _started_ms bigint;
    _held       boolean;
BEGIN
    SELECT h.started_ms, h.since_ms <= postern_now() - _lease_ms AND h.expires_ms > postern_now() + _lease_ms / 3 INTO _started_ms, _held FROM heartbeat h
        WHERE h.journal = _by AND h.epoch = _by_epoch AND NOT h.released AND h.expires_ms > postern_now();
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN postern_take(_journal, _node, false, _started_ms, _held AND _up, NULL, _lease_ms);
END $$;

-- Raises the epoch of a journal for its holder, who does not know what became of
-- the last batch, and prolongs the lease. A caller that does not know what became of
-- its last call finds its token there. The epoch is the new one, NULL where it is
-- somebody else's by now. What the last batch is shows in a statement after this
-- one: this one's own picture of the tables may be older than the batch that it
-- waited for.
CREATE FUNCTION postern_raise(_journal smallint, _epoch bigint, _token bytea, _lease_ms bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    _now  bigint := postern_now();
    _was  bigint;
    _last bytea;
BEGIN
    PERFORM postern_durable();
    PERFORM FROM heartbeat h WHERE h.journal = _journal FOR UPDATE;
    SELECT j.epoch, j.token INTO _was, _last FROM journal j WHERE j.id = _journal FOR UPDATE;
    IF _last <> _token THEN
        IF _was <> _epoch THEN
            RETURN NULL;
        END IF;
        _was := _was + 1;
        UPDATE journal j SET epoch = _was, token = _token WHERE j.id = _journal;
    END IF;
    UPDATE heartbeat h SET epoch = _was, since_ms = CASE WHEN h.expires_ms > _now + _lease_ms / 2 THEN h.since_ms ELSE _now END, expires_ms = _now + _lease_ms
        WHERE h.journal = _journal;
    RETURN _was;
END $$;

-- Prolongs a lease, also one that has run out and that nobody took; held is false
-- where the journal is somebody else's by now. _word is NULL where it is as
-- before; with _tell the others are told to look. now_us is the time, in
-- microseconds since 1970.
CREATE FUNCTION postern_renew(_journal smallint, _epoch bigint, _lease_ms bigint, _word bytea, _tell boolean, OUT held boolean, OUT now_us bigint)
LANGUAGE plpgsql AS $$
DECLARE
    _now bigint;
BEGIN
    PERFORM postern_up(_lease_ms); -- which notes the server
    now_us := extract(epoch FROM clock_timestamp()) * 1000000;
    _now := now_us / 1000;
    UPDATE heartbeat h SET since_ms = CASE WHEN h.expires_ms > _now + _lease_ms / 2 THEN h.since_ms ELSE _now END,
            -- One that was given up and comes late takes nothing back; nor does a clock
            -- that was far ahead stay.
            expires_ms = least(greatest(h.expires_ms, _now + _lease_ms), _now + 2 * _lease_ms), word = coalesce(_word, h.word)
        WHERE h.journal = _journal AND h.epoch = _epoch;
    held := FOUND;
    IF held AND _tell THEN
        PERFORM pg_notify('postern', '');
    END IF;
END $$;
