-- What is rare in a batch: see type rare in rare.go, whose fields these are. Each
-- list names a key once, and the order of the lists is that of store.Batch. What
-- is not there is not asked for: a statement on partitions begins with all of them.
-- _seq is the version of the catalogue that this makes, by _author, of whoever holds
-- catalogue_version; without one nothing is noted.
CREATE FUNCTION postern_commit_rare(_journal smallint, _rare jsonb, _seq bigint DEFAULT NULL, _author bigint DEFAULT 0) RETURNS void
LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    _change record;
    _now    bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    FOR _change IN SELECT * FROM jsonb_to_recordset(_rare -> 'changes')
        AS x(kind "char", application bigint, name bytea, record bytea, used boolean, health bigint, refusals bytea, history bigint)
    LOOP
        -- That a key was used does not bring one back that was revoked meanwhile.
        IF _change.used THEN
            UPDATE catalogue c SET record = convert_from(_change.record, 'UTF8')::json
                WHERE c.kind = _change.kind AND c.application = _change.application AND c.name = _change.name;
            CONTINUE WHEN NOT FOUND;
        END IF;
        IF _seq IS NOT NULL THEN
            INSERT INTO catalogue_log VALUES (_seq, _change.kind, _change.application, _change.name, _author, _now);
        END IF;
        CONTINUE WHEN _change.used;
        IF _change.record IS NOT NULL THEN
            INSERT INTO catalogue AS c VALUES (_change.kind, _change.application, _change.name, convert_from(_change.record, 'UTF8')::json)
                ON CONFLICT (kind, application, name) DO UPDATE SET record = excluded.record;
            CONTINUE;
        END IF;
        DELETE FROM catalogue c WHERE c.kind = _change.kind AND c.application = _change.application AND c.name = _change.name;
        -- What hangs on it goes with it: an endpoint's health, a source's
        -- refusals, all that an application owns.
        DELETE FROM health h WHERE h.endpoint = _change.health;
        DELETE FROM refusal r WHERE r.source = _change.refusals;
        IF _change.history IS NOT NULL THEN
            DELETE FROM health h USING catalogue c
                WHERE c.kind = 'e' AND c.application = _change.history AND h.endpoint = ('x' || encode(c.name, 'hex'))::bit(32)::bigint;
            DELETE FROM refusal r USING catalogue c
                WHERE c.kind = 's' AND c.application = _change.history AND r.source = c.name;
            DELETE FROM catalogue c WHERE c.kind IN ('e', 's', 'k', 'r') AND c.application = _change.history;
            INSERT INTO tombstone VALUES (_change.history, false) ON CONFLICT (application) DO UPDATE SET swept = false;
        END IF;
    END LOOP;

    IF _rare ? 'revived' THEN
        DELETE FROM dead d USING jsonb_populate_recordset(NULL::dead, _rare -> 'revived') x
            WHERE d.day = x.day AND d.application = x.application AND d.endpoint = x.endpoint AND d.message = x.message;
    END IF;
    IF _rare ? 'dead' THEN
        INSERT INTO dead SELECT * FROM jsonb_populate_recordset(NULL::dead, _rare -> 'dead') ON CONFLICT DO NOTHING;
    END IF;
    IF _rare ? 'finals' THEN
        INSERT INTO final SELECT * FROM jsonb_populate_recordset(NULL::final, _rare -> 'finals')
            ON CONFLICT (day, application, message, endpoint) DO UPDATE
            SET state = excluded.state, reason = excluded.reason, attempts = excluded.attempts, at_us = excluded.at_us;
    END IF;
    IF _rare ? 'ahead' THEN
        DELETE FROM behind b USING jsonb_to_recordset(_rare -> 'ahead') AS x(endpoint bigint)
            WHERE b.journal = _journal AND b.endpoint = x.endpoint;
    END IF;
    IF _rare ? 'behind' THEN
        INSERT INTO behind SELECT _journal, x.endpoint, x.application, x.from_id
            FROM jsonb_populate_recordset(NULL::behind, _rare -> 'behind') x
            ON CONFLICT (journal, endpoint) DO UPDATE SET application = excluded.application, from_id = excluded.from_id;
    END IF;
    IF _rare ? 'healthy' THEN
        DELETE FROM health h USING jsonb_to_recordset(_rare -> 'healthy') AS x(endpoint bigint) WHERE h.endpoint = x.endpoint;
    END IF;
    IF _rare ? 'health' THEN
        INSERT INTO health SELECT * FROM jsonb_populate_recordset(NULL::health, _rare -> 'health')
            ON CONFLICT (endpoint) DO UPDATE SET failing_since_us = excluded.failing_since_us, disabled = excluded.disabled,
                disabled_at_us = excluded.disabled_at_us, failures = excluded.failures;
    END IF;
    IF _seq IS NOT NULL THEN
        INSERT INTO catalogue_log SELECT _seq, 'h', 0, substring(int8send(x.endpoint) FROM 5), _author, _now FROM (
            SELECT endpoint FROM jsonb_to_recordset(_rare -> 'healthy') AS x(endpoint bigint) UNION ALL
            SELECT endpoint FROM jsonb_to_recordset(_rare -> 'health') AS x(endpoint bigint)) x;
        INSERT INTO catalogue_log SELECT _seq, 'd', 0, '', _author, _now WHERE _rare ? 'drop_day';
        UPDATE catalogue_version v SET seq = _seq,
            routing = CASE WHEN _rare ? 'routing' THEN _seq ELSE v.routing END,
            others = CASE WHEN _rare ? 'routing' AND v.author <> _author THEN v.routing ELSE v.others END,
            author = CASE WHEN _rare ? 'routing' THEN _author ELSE v.author END
            WHERE v.id;
        PERFORM pg_notify('postern', ''); -- whoever listens reads it
    END IF;
    IF _rare ? 'refusals' THEN
        INSERT INTO refusal SELECT * FROM jsonb_populate_recordset(NULL::refusal, _rare -> 'refusals')
            ON CONFLICT (source, id) DO UPDATE SET reason = excluded.reason, detail = excluded.detail, request = excluded.request,
                content_type = excluded.content_type, truncated = excluded.truncated, credentials = excluded.credentials, body = excluded.body;
    END IF;
    IF _rare ? 'expunged' THEN
        DELETE FROM content c USING jsonb_to_recordset(_rare -> 'expunged') AS x(day integer, application bigint, message bytea)
            WHERE c.day = x.day AND c.application = x.application AND c.message = x.message;
    END IF;
    IF _rare ? 'rewrite' THEN
        INSERT INTO expunged AS e SELECT * FROM jsonb_populate_recordset(NULL::expunged, _rare -> 'rewrite')
            ON CONFLICT (day) DO UPDATE SET last_ms = greatest(e.last_ms, excluded.last_ms);
    END IF;
    IF _rare ? 'drop_refusals' THEN
        DELETE FROM refusal r USING jsonb_to_recordset(_rare -> 'drop_refusals') AS x(source bytea, id bytea)
            WHERE r.source = x.source AND r.id = x.id;
    END IF;
    IF _rare ? 'drop_day' THEN
        INSERT INTO setting VALUES ('dropped_day', convert_to(_rare ->> 'drop_day', 'UTF8'))
            ON CONFLICT (name) DO UPDATE SET value = excluded.value;
    END IF;
END $$;

-- One batch, in one statement. It writes nothing under another epoch than the
-- journal's ('fenced'), nor where it was made by a version of the catalogue that
-- others than its author have changed ('stale'; 0 is not asked), nor where the last
-- batch is not the one before this ('unexpected'); else it answers 'ok'. A dedupe
-- record in whose place there is another message's that is not older than
-- d_since_ms has all fail ('PN002'). Arrays of one letter are the columns of
-- one table: m of messages with their contents, d of dedupe records, a of
-- attempts, g of rows that go, r of rows that are put; z are attempts that are
-- stored anew. The plans are pinned, since young tables without statistics would
-- otherwise be joined by reading them whole. What is inserted is unnested column
-- by column: as a table, FROM unnest(...), all of it would be laid down once more
-- before it is read, which costs a sixth of the whole.
CREATE FUNCTION postern_commit(_journal smallint, _epoch bigint, _version bigint, _author bigint, _head bigint[],
    m_day integer[], m_application bigint[], m_id bytea[], m_position bigint[], m_event_type text[], m_content_type text[], m_event_id text[],
    m_channels text[], m_tags text[], m_routes text[], m_size integer[], m_source bytea[], m_provider_event_type text[], m_caused_by bytea[],
    m_depth smallint[], m_payload bytea[], m_request bytea[],
    d_scope text[], d_digest uuid[], d_application bigint[], d_message bytea[], d_at_ms bigint[], d_status smallint[], d_answer bytea[], d_since_ms bigint[],
    z_day integer[], z_application bigint[], z_message bytea[], z_endpoint bigint[], z_n integer[],
    a_day integer[], a_application bigint[], a_message bytea[], a_endpoint bigint[], a_n integer[], a_id bytea[], a_state smallint[],
    a_reason text[], a_succeeded boolean[], a_permanent boolean[], a_redialed boolean[], a_trigger smallint[], a_code integer[],
    a_failure text[], a_url text[], a_response bytea[], a_started_us bigint[], a_next_us bigint[], a_retry_after_ns bigint[],
    a_dns_ns bigint[], a_connect_ns bigint[], a_tls_ns bigint[], a_first_byte_ns bigint[], a_total_ns bigint[],
    g_endpoint bigint[], g_message bytea[],
    r_endpoint bigint[], r_message bytea[], r_application bigint[], r_generation bigint[], r_tries integer[], r_attempts integer[],
    r_next_ms bigint[], r_wait_ns bigint[], r_trigger smallint[], r_replay bytea[],
    _rare jsonb) RETURNS text
LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    _catalogue catalogue_version;
    _seq       bigint; -- the version that this makes; NULL for none
    _stored    bigint;
BEGIN
    PERFORM FROM journal j WHERE j.id = _journal AND j.epoch = _epoch FOR SHARE;
    IF NOT FOUND THEN
        RETURN 'fenced';
    END IF;
    IF _rare ?| '{changes,health,healthy,drop_day}' THEN
        SELECT * INTO _catalogue FROM catalogue_version v WHERE v.id FOR UPDATE;
        _seq := _catalogue.seq + 1;
    ELSIF _version > 0 AND cardinality(m_id) > 0 THEN
        SELECT * INTO _catalogue FROM catalogue_version v WHERE v.id;
    END IF;
    IF _version > 0 AND (_rare ? 'routing' OR cardinality(m_id) > 0)
            AND _version < (CASE _catalogue.author WHEN _author THEN _catalogue.others ELSE _catalogue.routing END) THEN
        RETURN 'stale';
    END IF;
    UPDATE head h SET batch = _head[1], next = _head[2], low = _head[3], last_time_ms = _head[4], newest_ms = _head[5],
            dropped_us = _head[6], rows = _head[7], applications = _head[8], endpoints = _head[9]
        WHERE h.journal = _journal AND h.batch = _head[1] - 1;
    IF NOT FOUND THEN
        RETURN 'unexpected';
    END IF;

    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true); -- to the end of the transaction
    END IF;

    IF cardinality(m_id) > 0 THEN
        INSERT INTO message SELECT unnest(m_day), unnest(m_application), unnest(m_id), _journal, unnest(m_position), unnest(m_event_type),
            unnest(m_content_type), unnest(m_event_id), unnest(m_channels)::text[], unnest(m_tags)::text[], unnest(m_routes)::bigint[],
            unnest(m_size), unnest(m_source), unnest(m_provider_event_type), unnest(m_caused_by), unnest(m_depth);
        INSERT INTO content SELECT * FROM (SELECT unnest(m_day), unnest(m_application), unnest(m_id), unnest(m_payload), unnest(m_request))
            AS x(day, application, message, payload, request) WHERE x.payload IS NOT NULL;
    END IF;
    IF cardinality(d_digest) > 0 THEN
        INSERT INTO dedupe AS d SELECT unnest(d_scope)::"char", unnest(d_digest), unnest(d_application), unnest(d_message), unnest(d_at_ms),
                unnest(d_status), unnest(d_answer)
            ON CONFLICT (scope, digest) DO UPDATE SET application = excluded.application, message = excluded.message,
                at_ms = excluded.at_ms, status = excluded.status, answer = excluded.answer
            WHERE d.message = excluded.message OR d.at_ms < (SELECT x.since_ms FROM unnest(d_scope, d_digest, d_since_ms) AS x(scope, digest, since_ms)
                WHERE x.digest = excluded.digest AND x.scope::"char" = excluded.scope);
        GET DIAGNOSTICS _stored = ROW_COUNT;
        IF _stored < cardinality(d_digest) THEN
            RAISE EXCEPTION 'another node has stored a copy of the same message' USING ERRCODE = 'PN002';
        END IF;
    END IF;
    IF cardinality(z_n) > 0 THEN
        DELETE FROM attempt a USING unnest(z_day, z_application, z_message, z_endpoint, z_n) AS x(day, application, message, endpoint, n)
            WHERE a.day = x.day AND a.application = x.application AND a.message = x.message AND a.endpoint = x.endpoint AND a.n = x.n;
    END IF;
    IF cardinality(a_id) > 0 THEN
        -- An attempt never changes once it is written. Next to none is written twice,
        -- and looking for each beforehand costs more than starting over for that one.
        BEGIN
            INSERT INTO attempt SELECT unnest(a_day), unnest(a_application), unnest(a_message), unnest(a_endpoint), unnest(a_n), unnest(a_id),
                    unnest(a_state), unnest(a_reason), unnest(a_succeeded), unnest(a_permanent), unnest(a_redialed), unnest(a_trigger),
                    unnest(a_code), unnest(a_failure), unnest(a_url), unnest(a_response), unnest(a_started_us), unnest(a_next_us),
                    unnest(a_retry_after_ns), unnest(a_dns_ns), unnest(a_connect_ns), unnest(a_tls_ns), unnest(a_first_byte_ns), unnest(a_total_ns);
        EXCEPTION WHEN unique_violation THEN
            INSERT INTO attempt SELECT * FROM unnest(a_day, a_application, a_message, a_endpoint, a_n, a_id, a_state, a_reason, a_succeeded,
                    a_permanent, a_redialed, a_trigger, a_code, a_failure, a_url, a_response, a_started_us, a_next_us, a_retry_after_ns,
                    a_dns_ns, a_connect_ns, a_tls_ns, a_first_byte_ns, a_total_ns)
                ON CONFLICT DO NOTHING;
        END;
    END IF;
    IF cardinality(g_endpoint) > 0 THEN
        DELETE FROM delivery d USING unnest(g_endpoint, g_message) AS x(endpoint, message)
            WHERE d.endpoint = x.endpoint AND d.message = x.message;
    END IF;
    IF cardinality(r_endpoint) > 0 THEN
        INSERT INTO delivery SELECT x.endpoint, x.message, x.application, _journal, x.generation, x.tries, x.attempts, x.next_ms, x.wait_ns, x.trigger, x.replay
            FROM unnest(r_endpoint, r_message, r_application, r_generation, r_tries, r_attempts, r_next_ms, r_wait_ns, r_trigger, r_replay)
            AS x(endpoint, message, application, generation, tries, attempts, next_ms, wait_ns, trigger, replay)
            ON CONFLICT (endpoint, message) DO UPDATE SET application = excluded.application, journal = excluded.journal,
                generation = excluded.generation, tries = excluded.tries, attempts = excluded.attempts, next_ms = excluded.next_ms,
                wait_ns = excluded.wait_ns, trigger = excluded.trigger, replay = excluded.replay;
    END IF;
    IF _rare IS NOT NULL THEN
        PERFORM postern_commit_rare(_journal, _rare, _seq, _author);
    END IF;
    RETURN 'ok';
END $$;
