-- Erases up to _limit rows of each table that a deleted application has on a day,
-- and returns how many there were. It names the day's own tables, so that it
-- neither locks others nor is led astray by their statistics.
CREATE FUNCTION postern_erase(_application bigint, _day integer, _limit integer) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET lock_timeout = '3s' AS $$
DECLARE
    _parent text;
    _some   bigint;
    _all    bigint := 0;
BEGIN
    FOREACH _parent IN ARRAY ARRAY['message', 'content', 'attempt', 'final', 'dead'] LOOP
        IF to_regclass(_parent || '_d' || _day) IS NOT NULL THEN
            EXECUTE format('DELETE FROM %1$I WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$I WHERE application = $1 LIMIT $2))', _parent || '_d' || _day)
                USING _application, _limit;
            GET DIAGNOSTICS _some = ROW_COUNT;
            _all := _all + _some;
        END IF;
    END LOOP;
    RETURN _all;
END $$;

-- Removes up to _limit dedupe records that are too old, and returns how many: of
-- events, those whose message went with its day. A record that is stored anew
-- meanwhile is younger by then, and stays.
CREATE FUNCTION postern_sweep(_events_before_ms bigint, _others_before_ms bigint, _limit integer) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    _some bigint;
BEGIN
    DELETE FROM dedupe d
        WHERE d.ctid = ANY (ARRAY(SELECT o.ctid FROM dedupe o
            WHERE o.at_ms < greatest(_events_before_ms, _others_before_ms)
                AND o.at_ms < CASE o.scope WHEN 'e' THEN _events_before_ms ELSE _others_before_ms END
            LIMIT _limit))
        AND d.at_ms < CASE d.scope WHEN 'e' THEN _events_before_ms ELSE _others_before_ms END;
    GET DIAGNOSTICS _some = ROW_COUNT;
    RETURN _some;
END $$;

-- Removes entries of the catalogue's log that are older than _for_ms, and those
-- before the last _keep. Whoever has read no further than they went finds that out.
CREATE FUNCTION postern_trim(_keep bigint, _for_ms bigint) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    _old  bigint := extract(epoch FROM clock_timestamp()) * 1000 - _for_ms;
    _upto bigint := greatest(
        (SELECT l.seq FROM catalogue_log l WHERE l.at_ms < _old ORDER BY l.seq DESC LIMIT 1),
        (SELECT l.seq FROM catalogue_log l ORDER BY l.seq DESC OFFSET _keep LIMIT 1));
BEGIN
    IF _upto IS NOT NULL THEN
        DELETE FROM catalogue_log l WHERE l.seq <= _upto;
        UPDATE catalogue_version v SET trimmed = greatest(v.trimmed, _upto) WHERE v.id;
    END IF;
END $$;
