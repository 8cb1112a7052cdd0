-- The tables of version 1, with data in them, as a Busway of that version left them (pg_dump --inserts).

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE SCHEMA busway;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE busway.appender (
    id uuid NOT NULL,
    sequence bigint NOT NULL,
    at timestamp with time zone NOT NULL
)
WITH (fillfactor='20', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500');

CREATE TABLE busway.audit (
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL COLLATE pg_catalog."C",
    before bytea,
    after bytea,
    reason text NOT NULL
);

ALTER TABLE busway.audit ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME busway.audit_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE busway.batch (
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    count integer NOT NULL,
    size integer NOT NULL,
    appended_at timestamp with time zone NOT NULL,
    body bytea NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', toast.autovacuum_vacuum_scale_factor='0', toast.autovacuum_vacuum_threshold='5000');
ALTER TABLE ONLY busway.batch ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE busway.named_value (
    name text NOT NULL COLLATE pg_catalog."C",
    value bytea NOT NULL
)
WITH (fillfactor='50');

CREATE TABLE busway.lane (
    flow text NOT NULL COLLATE pg_catalog."C",
    partition integer NOT NULL,
    start bigint NOT NULL,
    cursor bigint NOT NULL,
    delivered bigint DEFAULT 0 NOT NULL,
    filtered bigint DEFAULT 0 NOT NULL,
    parked bigint DEFAULT 0 NOT NULL,
    dead bigint DEFAULT 0 NOT NULL,
    discarded bigint DEFAULT 0 NOT NULL,
    worker text,
    fencing_token bigint DEFAULT 0 NOT NULL,
    CONSTRAINT lane_check CHECK (((cursor - start) = ((((delivered + filtered) + parked) + dead) + discarded))),
    CONSTRAINT lane_dead_check CHECK ((dead >= 0)),
    CONSTRAINT lane_delivered_check CHECK ((delivered >= 0)),
    CONSTRAINT lane_discarded_check CHECK ((discarded >= 0)),
    CONSTRAINT lane_filtered_check CHECK ((filtered >= 0)),
    CONSTRAINT lane_parked_check CHECK ((parked >= 0)),
    CONSTRAINT lane_start_check CHECK ((start >= 0))
)
WITH (fillfactor='20', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500');

CREATE TABLE busway.meta (
    name text NOT NULL,
    value text NOT NULL
);

CREATE TABLE busway.partition (
    partition integer NOT NULL,
    base bigint DEFAULT 0 NOT NULL,
    "end" bigint DEFAULT 0 NOT NULL,
    size bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='20', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500');

CREATE TABLE busway.resolved_event (
    seq bigint NOT NULL,
    flow text NOT NULL COLLATE pg_catalog."C",
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    event_id text NOT NULL COLLATE pg_catalog."C",
    outcome text NOT NULL,
    at timestamp with time zone NOT NULL,
    attempts integer NOT NULL,
    failures bytea NOT NULL,
    event_key text,
    version text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL
);

ALTER TABLE busway.resolved_event ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME busway.resolved_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE busway.settled_range (
    flow text NOT NULL COLLATE pg_catalog."C",
    partition integer NOT NULL,
    start bigint NOT NULL,
    "end" bigint NOT NULL,
    version text NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    delivered bigint NOT NULL,
    filtered bigint NOT NULL,
    parked bigint NOT NULL,
    dead bigint NOT NULL,
    discarded bigint NOT NULL,
    CONSTRAINT settled_check CHECK ((("end" - start) = ((((delivered + filtered) + parked) + dead) + discarded)))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

CREATE TABLE busway.failed_event (
    flow text NOT NULL COLLATE pg_catalog."C",
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    event_id text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    since timestamp with time zone NOT NULL,
    attempts integer NOT NULL,
    due timestamp with time zone,
    key text COLLATE pg_catalog."C",
    failures bytea NOT NULL,
    event bytea NOT NULL,
    event_key text COLLATE pg_catalog."C",
    error text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    fingerprint text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    attempt_started_at timestamp with time zone,
    CONSTRAINT trouble_check CHECK (((state = 'dead'::text) OR (due IS NOT NULL) OR (key IS NOT NULL))),
    CONSTRAINT trouble_state_check CHECK ((state = ANY (ARRAY['parked'::text, 'dead'::text])))
);

INSERT INTO busway.appender VALUES ('80014960-731f-4f3d-84f3-dee6ae5cc513', 3, '2030-01-01 00:02:00+00');

INSERT INTO busway.audit OVERRIDING SYSTEM VALUE VALUES (1, '2030-01-01 01:00:00+00', 'ann', 'discarded', 'dead/other', '\x7b2261223a317d', NULL, 'old');
INSERT INTO busway.audit OVERRIDING SYSTEM VALUE VALUES (2, '2030-01-01 00:00:00+00', 'bob', 'paused', 'flow/orders', NULL, '\x7b7d', 'deploy');

INSERT INTO busway.batch VALUES (1, 0, 1, 90, '2030-01-01 00:00:00+00', '\x010000000100000075047954bd469fa891c45a7b227370656376657273696f6e223a22312e30222c226964223a22313030222c22736f75726365223a222f73686f70222c2274797065223a226f726465722e63726561746564222c2264617461223a7b226964223a3130307d7d');
INSERT INTO busway.batch VALUES (0, 2, 3, 258, '2030-01-01 00:01:00+00', '\x0100000003000000c48faf63b595cfe093c4567b227370656376657273696f6e223a22312e30222c226964223a2232222c22736f75726365223a222f73686f70222c2274797065223a226f726465722e63726561746564222c2264617461223a7b226964223a327d7dc4567b227370656376657273696f6e223a22312e30222c226964223a2233222c22736f75726365223a222f73686f70222c2274797065223a226f726465722e63726561746564222c2264617461223a7b226964223a337d7dc4567b227370656376657273696f6e223a22312e30222c226964223a2234222c22736f75726365223a222f73686f70222c2274797065223a226f726465722e63726561746564222c2264617461223a7b226964223a347d7d');
INSERT INTO busway.batch VALUES (1, 1, 1, 90, '2030-01-01 00:01:00+00', '\x01000000010000001a003cf3aecd2fda91c45a7b227370656376657273696f6e223a22312e30222c226964223a22313031222c22736f75726365223a222f73686f70222c2274797065223a226f726465722e63726561746564222c2264617461223a7b226964223a3130317d7d');
INSERT INTO busway.batch VALUES (0, 5, 1, 86, '2030-01-01 00:02:00+00', '\x0100000001000000808c63ae2bdc2a0691c4567b227370656376657273696f6e223a22312e30222c226964223a2235222c22736f75726365223a222f73686f70222c2274797065223a226f726465722e63726561746564222c2264617461223a7b226964223a357d7d');

INSERT INTO busway.named_value VALUES ('flow/orders', '\x7b22706175736564223a747275657d');
INSERT INTO busway.named_value VALUES ('worker/w1', '\x31');

INSERT INTO busway.lane VALUES ('orders', 0, 0, 5, 2, 0, 2, 1, 0, 'w1', 1);
INSERT INTO busway.lane VALUES ('orders', 1, 0, 1, 0, 1, 0, 0, 0, 'w2', 1);
INSERT INTO busway.lane VALUES ('another', 0, 0, 1, 0, 0, 0, 0, 1, NULL, 0);
INSERT INTO busway.lane VALUES ('another', 1, 0, 0, 0, 0, 0, 0, 0, NULL, 0);

INSERT INTO busway.meta VALUES ('version', '1');
INSERT INTO busway.meta VALUES ('identity', '01493553-1197-4d3a-97a2-e6b7dfa09a02');

INSERT INTO busway.partition VALUES (1, 0, 2, 180);
INSERT INTO busway.partition VALUES (0, 2, 6, 344);

INSERT INTO busway.resolved_event OVERRIDING SYSTEM VALUE VALUES (1, 'another', 0, 0, '0', 'discarded', '2030-01-01 01:00:00+00', 1, '\x5b7b22617474656d7074223a312c226174223a22323033302d30312d30315430303a30303a30305a222c227374616765223a2273746570222c226572726f72223a224b65794572726f72222c22726561736f6e223a226e6f2027746f74616c27227d5d', NULL, 'v2', 'ann', 'old');

INSERT INTO busway.settled_range VALUES ('orders', 0, 0, 2, 'v1', '2030-01-01 00:00:00+00', '2030-01-01 00:00:00+00', 2, 0, 0, 0, 0);
INSERT INTO busway.settled_range VALUES ('orders', 0, 2, 5, 'v1', '2030-01-01 00:20:00+00', '2030-01-01 00:20:00+00', 0, 0, 2, 1, 0);
INSERT INTO busway.settled_range VALUES ('orders', 1, 0, 1, 'v1', '2030-01-01 00:00:00+00', '2030-01-01 00:00:00+00', 0, 1, 0, 0, 0);
INSERT INTO busway.settled_range VALUES ('another', 0, 0, 1, 'v2', '2030-01-01 00:00:00+00', '2030-01-01 00:00:00+00', 0, 0, 0, 1, 0);

INSERT INTO busway.failed_event VALUES ('orders', 0, 2, '2', 'dead', '2030-01-01 00:00:00+00', 1, NULL, NULL, '\x5b7b22617474656d7074223a312c226174223a22323033302d30312d30315430303a30303a30305a222c227374616765223a2273746570222c226572726f72223a224b65794572726f72222c22726561736f6e223a226e6f2027746f74616c27227d5d', '\x7b227370656376657273696f6e223a22312e30222c226964223a2232222c22736f75726365223a222f73686f70222c2274797065223a226f726465722e63726561746564222c2264617461223a7b226964223a327d7d', NULL, 'KeyError', 'cause', NULL);
INSERT INTO busway.failed_event VALUES ('orders', 0, 3, '3', 'parked', '2030-01-01 00:00:00+00', 1, '2030-01-01 01:00:00+00', 'k', '\x5b7b22617474656d7074223a312c226174223a22323033302d30312d30315430303a30303a30305a222c227374616765223a2273746570222c226572726f72223a224b65794572726f72222c22726561736f6e223a226e6f2027746f74616c27227d5d', '\x7b227370656376657273696f6e223a22312e30222c226964223a2233222c22736f75726365223a222f73686f70222c2274797065223a226f726465722e63726561746564222c2264617461223a7b226964223a337d7d', 'k', 'KeyError', 'cause', NULL);
INSERT INTO busway.failed_event VALUES ('orders', 0, 4, '4', 'parked', '2030-01-01 00:00:00+00', 1, NULL, 'k', '\x5b7b22617474656d7074223a312c226174223a22323033302d30312d30315430303a30303a30305a222c227374616765223a2273746570222c226572726f72223a224b65794572726f72222c22726561736f6e223a226e6f2027746f74616c27227d5d', '\x7b227370656376657273696f6e223a22312e30222c226964223a2234222c22736f75726365223a222f73686f70222c2274797065223a226f726465722e63726561746564222c2264617461223a7b226964223a347d7d', 'k', 'KeyError', 'cause', NULL);

SELECT pg_catalog.setval('busway.audit_seq_seq', 2, true);

SELECT pg_catalog.setval('busway.resolved_seq_seq', 1, true);

ALTER TABLE ONLY busway.appender
    ADD CONSTRAINT appender_pkey PRIMARY KEY (id);

ALTER TABLE ONLY busway.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (seq);

ALTER TABLE ONLY busway.batch
    ADD CONSTRAINT batch_pkey PRIMARY KEY (partition, "offset");

ALTER TABLE ONLY busway.named_value
    ADD CONSTRAINT kept_pkey PRIMARY KEY (name);

ALTER TABLE ONLY busway.lane
    ADD CONSTRAINT lane_pkey PRIMARY KEY (flow, partition);

ALTER TABLE ONLY busway.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (name);

ALTER TABLE ONLY busway.partition
    ADD CONSTRAINT partition_pkey PRIMARY KEY (partition);

ALTER TABLE ONLY busway.resolved_event
    ADD CONSTRAINT resolved_pkey PRIMARY KEY (seq);

ALTER TABLE ONLY busway.settled_range
    ADD CONSTRAINT settled_pkey PRIMARY KEY (flow, partition, start);

ALTER TABLE ONLY busway.failed_event
    ADD CONSTRAINT trouble_pkey PRIMARY KEY (flow, partition, "offset");

CREATE INDEX audit_by_target ON busway.audit USING btree (target, seq);

CREATE INDEX batch_by_time ON busway.batch USING btree (partition, appended_at);

CREATE INDEX resolved_event_by_event_id ON busway.resolved_event USING btree (event_id);

CREATE INDEX resolved_event_by_time ON busway.resolved_event USING btree (at);

CREATE INDEX failed_event_by_fingerprint ON busway.failed_event USING btree (state, flow, fingerprint, partition, "offset") INCLUDE (error, since);

CREATE INDEX failed_event_by_due ON busway.failed_event USING btree (due, flow, partition, "offset") WHERE ((state = 'parked'::text) AND (due IS NOT NULL));

CREATE INDEX failed_event_by_event_id ON busway.failed_event USING btree (event_id);

CREATE INDEX failed_event_by_event_key ON busway.failed_event USING btree (event_key) WHERE (event_key IS NOT NULL);

CREATE INDEX failed_event_by_key ON busway.failed_event USING btree (flow, partition, key, "offset") WHERE ((state = 'parked'::text) AND (key IS NOT NULL));

CREATE INDEX failed_event_by_state ON busway.failed_event USING btree (state, flow, partition, "offset");

ALTER TABLE ONLY busway.failed_event
    ADD CONSTRAINT trouble_flow_partition_fkey FOREIGN KEY (flow, partition) REFERENCES busway.lane(flow, partition) DEFERRABLE;
