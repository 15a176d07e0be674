-- Joining: which chain each record belongs to. Reads `ev`, one narrow row a record; ids are 64-bit hashes salted by kind.
--   p prompt id · t trace · x transaction · c tool call (within its conversation or agent): strong keys
--   h token hash · r request id: lent keys.  Keys idle longer than the lookback were cut before (engine.py).
-- A prompt id is the hub: every key that shares a record with it belongs to its chain.
CREATE OR REPLACE TEMP TABLE hub AS
  SELECT key, p, min(ts) AS since FROM (
    SELECT t AS key, p, ts FROM ev WHERE p IS NOT NULL AND t IS NOT NULL
    UNION ALL SELECT x, p, ts FROM ev WHERE p IS NOT NULL AND x IS NOT NULL
    UNION ALL SELECT c, p, ts FROM ev WHERE p IS NOT NULL AND c IS NOT NULL)
  GROUP BY key, p;

CREATE OR REPLACE TEMP TABLE only_hub AS SELECT key, min(p) AS p, count(*) AS prompts FROM hub GROUP BY key;

-- A key with several prompts: the latest at or before the record, else the earliest after it.
CREATE OR REPLACE TEMP TABLE several AS
  SELECT rid, key, coalesce(arg_max(p, (since, p)) FILTER (since <= ts), arg_min(p, (since, p))) AS p
  FROM (SELECT rid, ts, t AS key FROM ev WHERE p IS NULL AND t IS NOT NULL
        UNION ALL SELECT rid, ts, x FROM ev WHERE p IS NULL AND x IS NOT NULL
        UNION ALL SELECT rid, ts, c FROM ev WHERE p IS NULL AND c IS NOT NULL)
  JOIN hub USING (key)
  WHERE key IN (SELECT key FROM only_hub WHERE prompts > 1)
  GROUP BY rid, key;

-- One bridge: a record that carries two keys. Followed once, to the other key's prompt, else to the higher key.
CREATE OR REPLACE TEMP TABLE bridge AS
  WITH pair AS (
    SELECT DISTINCT key, other, rank FROM (
      SELECT t AS key, x AS other, 2 AS rank FROM ev WHERE t IS NOT NULL AND x IS NOT NULL
      UNION ALL SELECT x, t, 1 FROM ev WHERE t IS NOT NULL AND x IS NOT NULL
      UNION ALL SELECT t, c, 3 FROM ev WHERE t IS NOT NULL AND c IS NOT NULL
      UNION ALL SELECT c, t, 1 FROM ev WHERE t IS NOT NULL AND c IS NOT NULL
      UNION ALL SELECT x, c, 3 FROM ev WHERE x IS NOT NULL AND c IS NOT NULL
      UNION ALL SELECT c, x, 2 FROM ev WHERE x IS NOT NULL AND c IS NOT NULL))
  SELECT pair.key, arg_min(only_hub.p, (rank, only_hub.p)) AS p, arg_min(other, (rank, other)) AS higher, min(rank) AS rank
  FROM pair LEFT JOIN only_hub ON only_hub.key = pair.other AND only_hub.prompts = 1
  WHERE pair.key NOT IN (SELECT key FROM hub)
  GROUP BY pair.key;

-- chain: the key of the chain; source: prompt, trace, transaction, tool_call; own: the record's key that led there.
CREATE OR REPLACE TEMP TABLE strong AS
  SELECT rid, place.chain, place.source,
    CASE place.own WHEN 'p' THEN p_client WHEN 't' THEN t_client WHEN 'x' THEN x_client ELSE c_client END AS claimed
  FROM (
    SELECT ev.rid, ev.p_client, ev.t_client, ev.x_client, ev.c_client,
      CASE
        WHEN ev.p IS NOT NULL THEN {chain: ev.p, source: 'prompt', own: 'p'}
        WHEN ht.prompts = 1 THEN {chain: ht.p, source: 'prompt', own: 't'}
        WHEN ht.prompts > 1 THEN {chain: st.p, source: 'prompt', own: 't'}
        WHEN hx.prompts = 1 THEN {chain: hx.p, source: 'prompt', own: 'x'}
        WHEN hx.prompts > 1 THEN {chain: sx.p, source: 'prompt', own: 'x'}
        WHEN hc.prompts = 1 THEN {chain: hc.p, source: 'prompt', own: 'c'}
        WHEN hc.prompts > 1 THEN {chain: sc.p, source: 'prompt', own: 'c'}
        WHEN bt.p IS NOT NULL THEN {chain: bt.p, source: 'prompt', own: 't'}
        WHEN bx.p IS NOT NULL THEN {chain: bx.p, source: 'prompt', own: 'x'}
        WHEN bc.p IS NOT NULL THEN {chain: bc.p, source: 'prompt', own: 'c'}
        WHEN ev.t IS NOT NULL THEN {chain: ev.t, source: 'trace', own: 't'}
        WHEN bx.rank = 1 THEN {chain: bx.higher, source: 'trace', own: 'x'}
        WHEN ev.x IS NOT NULL THEN {chain: ev.x, source: 'transaction', own: 'x'}
        WHEN bc.rank = 1 THEN {chain: bc.higher, source: 'trace', own: 'c'}
        WHEN bc.rank = 2 THEN {chain: bc.higher, source: 'transaction', own: 'c'}
        WHEN ev.c IS NOT NULL THEN {chain: ev.c, source: 'tool_call', own: 'c'}
      END AS place
    FROM ev
    LEFT JOIN only_hub ht ON ev.p IS NULL AND ht.key = ev.t
    LEFT JOIN only_hub hx ON ev.p IS NULL AND hx.key = ev.x
    LEFT JOIN only_hub hc ON ev.p IS NULL AND hc.key = ev.c
    LEFT JOIN several st ON st.rid = ev.rid AND st.key = ev.t
    LEFT JOIN several sx ON sx.rid = ev.rid AND sx.key = ev.x
    LEFT JOIN several sc ON sc.rid = ev.rid AND sc.key = ev.c
    LEFT JOIN bridge bt ON bt.key = ev.t AND ev.p IS NULL
    LEFT JOIN bridge bx ON bx.key = ev.x AND ev.p IS NULL
    LEFT JOIN bridge bc ON bc.key = ev.c AND ev.p IS NULL
    WHERE ev.stage IS NOT NULL)
  WHERE place.chain IS NOT NULL;

-- Lent: no strong key; the chain of the only one that shares the token or the request. It tells the story, no more.
CREATE OR REPLACE TEMP TABLE lender AS
  SELECT key, min(chain) AS chain, min(chain) <> max(chain) AS ambiguous FROM (
    SELECT h AS key, chain FROM strong JOIN ev USING (rid) WHERE h IS NOT NULL
    UNION ALL SELECT r, chain FROM strong JOIN ev USING (rid) WHERE r IS NOT NULL)
  WHERE key IN (SELECT unnest([h, r]) FROM ev WHERE coalesce(p, t, x, c) IS NULL)
  GROUP BY key;

-- member: 0 joined by an issued id, 1 by an id that a client may set, 2 lent, 3 alone
CREATE OR REPLACE TEMP TABLE placed AS
  SELECT rid, chain, CASE WHEN claimed THEN 'claimed' ELSE source END AS source, source AS kind, claimed::UTINYINT AS member FROM strong
  UNION ALL
  SELECT ev.rid,
    CASE WHEN NOT lh.ambiguous THEN lh.chain WHEN NOT lr.ambiguous THEN lr.chain WHEN ev.stage IN (3, 7) THEN hash('record', ev.identity) END,
    CASE WHEN NOT lh.ambiguous THEN 'token' WHEN NOT lr.ambiguous THEN 'request'
         WHEN lh.ambiguous OR lr.ambiguous THEN 'ambiguous' ELSE 'none' END, NULL,
    CASE WHEN NOT lh.ambiguous OR NOT lr.ambiguous THEN 2 ELSE 3 END
  FROM ev LEFT JOIN lender lh ON lh.key = ev.h LEFT JOIN lender lr ON lr.key = ev.r
  WHERE coalesce(p, t, x, c) IS NULL AND ev.stage IS NOT NULL
    AND (NOT lh.ambiguous OR NOT lr.ambiguous OR ev.stage IN (3, 7));
