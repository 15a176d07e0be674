-- Joining: which chain each record belongs to. Reads `ev`, one narrow row a record; ids are 64-bit hashes salted by kind.
--   p prompt id · t trace · x transaction · c tool call (within its conversation or agent): strong keys
--   h token hash · r request id: lent keys.  Keys idle longer than the lookback were cut before (engine.py).
-- A prompt id is the hub: every key that shares a record with it belongs to its chain.
-- A link is claimed when every record that makes it does so by an id that a client may set: whoever copies a prompt id
-- lends it to his whole trace, and the prompt explains none of it.
CREATE OR REPLACE TEMP TABLE hub AS
  SELECT key, p, min(ts) AS since, bool_and(claimed) AS claimed FROM (
    SELECT t AS key, p, ts, p_client OR t_client AS claimed FROM ev WHERE p IS NOT NULL AND t IS NOT NULL
    UNION ALL SELECT x, p, ts, p_client OR x_client FROM ev WHERE p IS NOT NULL AND x IS NOT NULL
    UNION ALL SELECT c, p, ts, p_client OR c_client FROM ev WHERE p IS NOT NULL AND c IS NOT NULL)
  GROUP BY key, p;

CREATE OR REPLACE TEMP TABLE only_hub AS
  SELECT key, min(p) AS p, count(*) AS prompts, bool_and(claimed) AS claimed FROM hub GROUP BY key;

-- A key with several prompts: the latest at or before the record, else the earliest after it.
CREATE OR REPLACE TEMP TABLE several AS
  SELECT rid, key, place.p AS p, place.claimed AS claimed FROM (
    SELECT rid, key, coalesce(arg_max({p: p, claimed: claimed}, (since, p)) FILTER (since <= ts), arg_min({p: p, claimed: claimed}, (since, p))) AS place
    FROM (SELECT rid, ts, t AS key FROM ev WHERE p IS NULL AND t IS NOT NULL
          UNION ALL SELECT rid, ts, x FROM ev WHERE p IS NULL AND x IS NOT NULL
          UNION ALL SELECT rid, ts, c FROM ev WHERE p IS NULL AND c IS NOT NULL)
    JOIN hub USING (key)
    WHERE key IN (SELECT key FROM only_hub WHERE prompts > 1)
    GROUP BY rid, key);

-- One bridge: a record that carries two keys. Followed once, to a key that has a prompt, else to the higher key.
CREATE OR REPLACE TEMP TABLE bridge AS
  WITH pair AS (
    SELECT key, other, rank, bool_and(claimed) AS claimed FROM (
      SELECT t AS key, x AS other, 2 AS rank, t_client OR x_client AS claimed FROM ev WHERE t IS NOT NULL AND x IS NOT NULL
      UNION ALL SELECT x, t, 1, t_client OR x_client FROM ev WHERE t IS NOT NULL AND x IS NOT NULL
      UNION ALL SELECT t, c, 3, t_client OR c_client FROM ev WHERE t IS NOT NULL AND c IS NOT NULL
      UNION ALL SELECT c, t, 1, t_client OR c_client FROM ev WHERE t IS NOT NULL AND c IS NOT NULL
      UNION ALL SELECT x, c, 3, x_client OR c_client FROM ev WHERE x IS NOT NULL AND c IS NOT NULL
      UNION ALL SELECT c, x, 2, x_client OR c_client FROM ev WHERE x IS NOT NULL AND c IS NOT NULL)
    GROUP BY key, other, rank)
  SELECT pair.key, arg_min({other: other, rank: rank, claimed: pair.claimed}, (only_hub.key IS NULL, rank, other)) AS to_hub,
    arg_min({other: other, rank: rank, claimed: pair.claimed}, (rank, other)) AS higher, bool_or(only_hub.key IS NOT NULL) AS has_hub
  FROM pair LEFT JOIN only_hub ON only_hub.key = pair.other
  WHERE pair.key NOT IN (SELECT key FROM hub)
  GROUP BY pair.key;

CREATE OR REPLACE TEMP TABLE bridged AS
  SELECT rid, key, place.p AS p, place.claimed AS claimed FROM (
    SELECT own.rid, own.key,
      coalesce(arg_max({p: hub.p, claimed: hub.claimed OR to_hub.claimed}, (since, p)) FILTER (since <= own.ts),
               arg_min({p: hub.p, claimed: hub.claimed OR to_hub.claimed}, (since, p))) AS place
    FROM (SELECT rid, ts, t AS key FROM ev WHERE p IS NULL AND t IS NOT NULL
          UNION ALL SELECT rid, ts, x FROM ev WHERE p IS NULL AND x IS NOT NULL
          UNION ALL SELECT rid, ts, c FROM ev WHERE p IS NULL AND c IS NOT NULL) own
    JOIN bridge ON bridge.key = own.key AND has_hub JOIN hub ON hub.key = to_hub.other
    GROUP BY own.rid, own.key);

-- chain: the key of the chain; source: prompt, trace, transaction, tool_call; claimed: some link on the way is.
CREATE OR REPLACE TEMP TABLE strong AS
  SELECT rid, place.chain, place.source, place.claimed
  FROM (
    SELECT ev.rid,
      CASE
        WHEN ev.p IS NOT NULL THEN {chain: ev.p, source: 'prompt', claimed: p_client}
        WHEN ht.prompts = 1 THEN {chain: ht.p, source: 'prompt', claimed: t_client OR ht.claimed}
        WHEN ht.prompts > 1 THEN {chain: st.p, source: 'prompt', claimed: t_client OR st.claimed}
        WHEN hx.prompts = 1 THEN {chain: hx.p, source: 'prompt', claimed: x_client OR hx.claimed}
        WHEN hx.prompts > 1 THEN {chain: sx.p, source: 'prompt', claimed: x_client OR sx.claimed}
        WHEN hc.prompts = 1 THEN {chain: hc.p, source: 'prompt', claimed: c_client OR hc.claimed}
        WHEN hc.prompts > 1 THEN {chain: sc.p, source: 'prompt', claimed: c_client OR sc.claimed}
        WHEN bt.p IS NOT NULL THEN {chain: bt.p, source: 'prompt', claimed: t_client OR bt.claimed}
        WHEN bx.p IS NOT NULL THEN {chain: bx.p, source: 'prompt', claimed: x_client OR bx.claimed}
        WHEN bc.p IS NOT NULL THEN {chain: bc.p, source: 'prompt', claimed: c_client OR bc.claimed}
        WHEN ev.t IS NOT NULL THEN {chain: ev.t, source: 'trace', claimed: t_client}
        WHEN ux.higher.rank = 1 THEN {chain: ux.higher.other, source: 'trace', claimed: x_client OR ux.higher.claimed}
        WHEN ev.x IS NOT NULL THEN {chain: ev.x, source: 'transaction', claimed: x_client}
        WHEN uc.higher.rank = 1 THEN {chain: uc.higher.other, source: 'trace', claimed: c_client OR uc.higher.claimed}
        WHEN uc.higher.rank = 2 THEN {chain: uc.higher.other, source: 'transaction', claimed: c_client OR uc.higher.claimed}
        WHEN ev.c IS NOT NULL THEN {chain: ev.c, source: 'tool_call', claimed: c_client}
      END AS place
    FROM ev
    LEFT JOIN only_hub ht ON ev.p IS NULL AND ht.key = ev.t
    LEFT JOIN only_hub hx ON ev.p IS NULL AND hx.key = ev.x
    LEFT JOIN only_hub hc ON ev.p IS NULL AND hc.key = ev.c
    LEFT JOIN several st ON st.rid = ev.rid AND st.key = ev.t
    LEFT JOIN several sx ON sx.rid = ev.rid AND sx.key = ev.x
    LEFT JOIN several sc ON sc.rid = ev.rid AND sc.key = ev.c
    LEFT JOIN bridged bt ON bt.rid = ev.rid AND bt.key = ev.t
    LEFT JOIN bridged bx ON bx.rid = ev.rid AND bx.key = ev.x
    LEFT JOIN bridged bc ON bc.rid = ev.rid AND bc.key = ev.c
    LEFT JOIN bridge ux ON ux.key = ev.x AND ev.p IS NULL
    LEFT JOIN bridge uc ON uc.key = ev.c AND ev.p IS NULL
    WHERE ev.stage IS NOT NULL)
  WHERE place.chain IS NOT NULL;

-- Lent: no strong key; the chain of the only one that used the same token or request within the lookback of the record.
-- The uses of a key by a chain are spans, cut where they pause for more than two lookbacks: a window of two lookbacks
-- then meets a span exactly when it meets a use. Of the spans begun before the window's end the two that end last decide.
CREATE OR REPLACE TEMP TABLE lent AS
  SELECT rid, ts, 'token' AS source, h AS key FROM ev WHERE coalesce(p, t, x, c) IS NULL AND stage IS NOT NULL AND h IS NOT NULL
  UNION ALL SELECT rid, ts, 'request', r FROM ev WHERE coalesce(p, t, x, c) IS NULL AND stage IS NOT NULL AND r IS NOT NULL;

CREATE OR REPLACE TEMP TABLE lenders AS
  WITH used AS (
    SELECT key, chain, ts, coalesce(ts - lag(ts) OVER (PARTITION BY key, chain ORDER BY ts) > 2 * getvariable('lookback'), false)::INTEGER AS pause
    FROM (SELECT h AS key, chain, ts FROM strong JOIN ev USING (rid) WHERE h IS NOT NULL
          UNION ALL SELECT r, chain, ts FROM strong JOIN ev USING (rid) WHERE r IS NOT NULL)
    WHERE key IN (SELECT key FROM lent)),
  numbered AS (SELECT *, sum(pause) OVER (PARTITION BY key, chain ORDER BY ts ROWS UNBOUNDED PRECEDING) AS span FROM used),
  spans AS (SELECT key, chain, min(ts) AS begins, max(ts) AS ends FROM numbered GROUP BY key, chain, span)
  SELECT key, begins, arg_max({chain: chain, ends: ends}, (ends, chain), 2) OVER (PARTITION BY key ORDER BY begins) AS last_two FROM spans;

CREATE OR REPLACE TEMP TABLE lent_to AS
  SELECT rid, source, len(list_filter(last_two, lambda span: span.ends >= ts - getvariable('lookback'))) AS chains, last_two[1].chain AS chain
  FROM lent ASOF JOIN lenders ON lent.key = lenders.key AND lent.ts + getvariable('lookback') >= lenders.begins;

-- member: 0 joined by an issued id, 1 by an id that a client may set, 2 lent, 3 alone
CREATE OR REPLACE TEMP TABLE placed AS
  WITH lent_once AS (
    SELECT rid, min(chain) FILTER (chains = 1) AS chain, count(DISTINCT chain) FILTER (chains = 1) AS lenders,
      max(source) FILTER (chains = 1) AS source, coalesce(max(chains), 0) > 0 AS shared
    FROM lent_to GROUP BY rid)
  SELECT rid, chain, CASE WHEN claimed THEN 'claimed' ELSE source END AS source, source AS kind, claimed::UTINYINT AS member FROM strong
  UNION ALL
  SELECT ev.rid, CASE WHEN lenders = 1 THEN lent_once.chain ELSE hash('record', ev.identity) END,
    CASE WHEN lenders = 1 THEN lent_once.source WHEN shared THEN 'ambiguous' ELSE 'none' END, NULL,
    CASE WHEN lenders = 1 THEN 2 ELSE 3 END
  FROM ev LEFT JOIN lent_once USING (rid)
  WHERE coalesce(p, t, x, c) IS NULL AND ev.stage IS NOT NULL AND (lenders = 1 OR ev.stage IN (3, 7));
