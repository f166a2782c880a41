-- Makes the partitions of a day where there are none. A table is made beside
-- and then attached, which has nobody wait who writes; a day's tables are made
-- under a lock of their own, so that several processes do not make them at once.
-- They stand in the schema of their parents, whatever else the search path names.
CREATE FUNCTION postern_partition(_day integer) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    _schema text := (SELECT c.relnamespace::regnamespace FROM pg_class c WHERE c.oid = 'message'::regclass);
    _parent text;
    _child  text;
BEGIN
    LOCK TABLE setting IN SHARE UPDATE EXCLUSIVE MODE;
    FOREACH _parent IN ARRAY ARRAY['message', 'content', 'attempt', 'final', 'dead'] LOOP
        _child := format('%s.%I', _schema, _parent || '_d' || _day);
        IF to_regclass(_child) IS NULL THEN
            EXECUTE format('CREATE TABLE %s (LIKE %I INCLUDING STORAGE)', _child, _parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)', _parent, _child, _day, _day + 1);
        END IF;
    END LOOP;
END $$;
