-- Locks the journal's row as a batch does, and fails under another epoch: a chunk
-- of a copy begins with it, whose other statements are then not carried out.
CREATE FUNCTION postern_hold(_journal smallint, _epoch bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM journal j WHERE j.id = _journal AND j.epoch = _epoch FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'PN001';
    END IF;
END $$;
