-- Joining and the chain view, step by step, from countersign_events to countersign_chains.
CREATE OR REPLACE TABLE ev_whole AS
SELECT
  rid,
  line_hash AS identity,
  `@timestamp` AS ts,
  CAST(CAST(NULLIF(
    ARRAY_POSITION(
      ARRAY('prompt', 'decision', 'tool_call', 'tool_response', 'token', 'consent', 'access', 'change'),
      stage
    ),
    0
  ) AS INT) AS INT) AS stage,
  CASE
    WHEN NOT `chain.prompt.id` IS NULL
    THEN XXHASH64('p', `chain.prompt.id`, ' ' || `chain.prompt.id`)
  END AS p,
  CASE
    WHEN NOT CASE
      WHEN NOT (
        `trace.id` < '0000000000000001' AND TRIM('0' FROM `trace.id`) = ''
      )
      THEN `trace.id`
    END IS NULL
    THEN XXHASH64(
      't',
      CASE
        WHEN NOT (
          `trace.id` < '0000000000000001' AND TRIM('0' FROM `trace.id`) = ''
        )
        THEN `trace.id`
      END,
      ' ' || CASE
        WHEN NOT (
          `trace.id` < '0000000000000001' AND TRIM('0' FROM `trace.id`) = ''
        )
        THEN `trace.id`
      END
    )
  END AS t,
  CASE
    WHEN NOT CASE
      WHEN NOT (
        STARTSWITH(`transaction.id`, '00000000')
        AND TRIM('0-' FROM `transaction.id`) = ''
      )
      THEN `transaction.id`
    END IS NULL
    THEN XXHASH64(
      'x',
      CASE
        WHEN NOT (
          STARTSWITH(`transaction.id`, '00000000')
          AND TRIM('0-' FROM `transaction.id`) = ''
        )
        THEN `transaction.id`
      END,
      ' ' || CASE
        WHEN NOT (
          STARTSWITH(`transaction.id`, '00000000')
          AND TRIM('0-' FROM `transaction.id`) = ''
        )
        THEN `transaction.id`
      END
    )
  END AS x,
  CASE
    WHEN NOT `gen_ai.tool.call.id` IS NULL
    AND NOT COALESCE(`gen_ai.conversation.id`, `gen_ai.agent.id`) IS NULL
    THEN XXHASH64(
      'c',
      XXHASH64(
        COALESCE(`gen_ai.conversation.id`, `gen_ai.agent.id`),
        ' ' || COALESCE(`gen_ai.conversation.id`, `gen_ai.agent.id`)
      ),
      XXHASH64(`gen_ai.tool.call.id`, ' ' || `gen_ai.tool.call.id`)
    )
  END AS c,
  CASE
    WHEN NOT `oauth.token.hash` IS NULL
    THEN XXHASH64('h', `oauth.token.hash`, ' ' || `oauth.token.hash`)
  END AS h,
  CASE
    WHEN NOT `http.request.id` IS NULL
    THEN XXHASH64('r', `http.request.id`, ' ' || `http.request.id`)
  END AS r,
  COALESCE(
    ARRAY_CONTAINS(
      TRY_ELEMENT_AT(countersign_client_ids, 'chain.prompt.id'),
      COALESCE(`event.dataset`, 'countersign')
    ),
    FALSE
  ) AS p_client,
  COALESCE(
    ARRAY_CONTAINS(
      TRY_ELEMENT_AT(countersign_client_ids, 'trace.id'),
      COALESCE(`event.dataset`, 'countersign')
    ),
    FALSE
  ) AS t_client,
  COALESCE(
    ARRAY_CONTAINS(
      TRY_ELEMENT_AT(countersign_client_ids, 'transaction.id'),
      COALESCE(`event.dataset`, 'countersign')
    ),
    FALSE
  ) AS x_client,
  COALESCE(
    ARRAY_CONTAINS(
      TRY_ELEMENT_AT(countersign_client_ids, 'gen_ai.tool.call.id'),
      COALESCE(`event.dataset`, 'countersign')
    ),
    FALSE
  ) AS c_client,
  CASE
    WHEN NOT `user.key` IS NULL
    THEN XXHASH64(key_kind, `user.key`, ' ' || `user.key`)
  END AS person,
  XXHASH64(key_kind) AS person_kind,
  CASE
    WHEN NOT LOWER(TRANSLATE(`gen_ai.agent.id`, 'Σİ', 'σi')) IS NULL
    THEN XXHASH64(
      'agent',
      LOWER(TRANSLATE(`gen_ai.agent.id`, 'Σİ', 'σi')),
      ' ' || LOWER(TRANSLATE(`gen_ai.agent.id`, 'Σİ', 'σi'))
    )
  END AS agent,
  CASE
    WHEN NOT LOWER(TRANSLATE(`chain.agent.parent_id`, 'Σİ', 'σi')) IS NULL
    THEN XXHASH64(
      'agent',
      LOWER(TRANSLATE(`chain.agent.parent_id`, 'Σİ', 'σi')),
      ' ' || LOWER(TRANSLATE(`chain.agent.parent_id`, 'Σİ', 'σi'))
    )
  END AS agent_parent,
  CASE
    WHEN NOT `oauth.act.sub` IS NULL OR NOT `oauth.act.chain` IS NULL
    THEN TRANSFORM(
      ARRAY_APPEND(COALESCE(COALESCE(`oauth.act.chain`, ARRAY()), ARRAY()), `oauth.act.sub`),
      a -> XXHASH64('agent', LOWER(TRANSLATE(a, 'Σİ', 'σi')), ' ' || LOWER(TRANSLATE(a, 'Σİ', 'σi')))
    )
  END AS act,
  CASE
    WHEN NOT LOWER(TRANSLATE(`oauth.client.id`, 'Σİ', 'σi')) IS NULL
    THEN XXHASH64(
      'client',
      LOWER(TRANSLATE(`oauth.client.id`, 'Σİ', 'σi')),
      ' ' || LOWER(TRANSLATE(`oauth.client.id`, 'Σİ', 'σi'))
    )
  END AS client,
  CASE
    WHEN NOT `span.id` IS NULL
    THEN XXHASH64('span', `span.id`, ' ' || `span.id`)
  END AS span,
  CASE
    WHEN NOT `span.parent_id` IS NULL
    THEN XXHASH64('span', `span.parent_id`, ' ' || `span.parent_id`)
  END AS parent,
  CASE
    WHEN NOT `oauth.token.id` IS NULL
    THEN XXHASH64('token', `oauth.token.id`, ' ' || `oauth.token.id`)
  END AS token,
  CASE
    WHEN NOT `oauth.token.parent_id` IS NULL
    THEN XXHASH64('token', `oauth.token.parent_id`, ' ' || `oauth.token.parent_id`)
  END AS token_parent,
  CASE
    WHEN NOT LOWER(TRANSLATE(COALESCE(`mcp.server.name`, `mcp.server.uri`), 'Σİ', 'σi')) IS NULL
    THEN XXHASH64(
      'server',
      LOWER(TRANSLATE(COALESCE(`mcp.server.name`, `mcp.server.uri`), 'Σİ', 'σi')),
      ' ' || LOWER(TRANSLATE(COALESCE(`mcp.server.name`, `mcp.server.uri`), 'Σİ', 'σi'))
    )
  END AS server,
  CASE
    WHEN NOT LOWER(TRANSLATE(`service.target.name`, 'Σİ', 'σi')) IS NULL
    THEN XXHASH64(
      'system',
      LOWER(TRANSLATE(`service.target.name`, 'Σİ', 'σi')),
      ' ' || LOWER(TRANSLATE(`service.target.name`, 'Σİ', 'σi'))
    )
  END AS system,
  NOT COALESCE(`user.id`, `user.name`, `user.email`) IS NULL AS human,
  CASE
    WHEN NOT human AND moved
    THEN XXHASH64(
      'service',
      LOWER(TRANSLATE(effective_id, 'Σİ', 'σi')),
      ' ' || LOWER(TRANSLATE(effective_id, 'Σİ', 'σi'))
    )
    WHEN NOT human
    AND 'client_credentials' IN (
      LOWER(TRANSLATE(`oauth.grant_type`, 'Σİ', 'σi')),
      LOWER(TRANSLATE(`oauth.delegation.type`, 'Σİ', 'σi'))
    )
    THEN client
  END AS service,
  NOT COALESCE(`user.id`, `user.name`, `user.email`, `user.effective.id`, `user.effective.name`) IS NULL AS actor_known,
  COALESCE(
    LOWER(TRANSLATE(`chain.operation`, 'Σİ', 'σi')) IN ('write', 'create', 'delete', 'admin'),
    FALSE
  ) AS is_write,
  COALESCE(
    LOWER(TRANSLATE(`chain.operation`, 'Σİ', 'σi')) IN ('write', 'create', 'delete', 'admin'),
    FALSE
  )
  AND COALESCE(LOWER(TRANSLATE(`event.outcome`, 'Σİ', 'σi')) <> 'failure', TRUE) AS wrote,
  NOT COALESCE(`gen_ai.agent.id`, `oauth.act.sub`, client_agent, service_agent, effective_agent) IS NULL AS by_agent,
  CASE
    WHEN NOT COALESCE(`gen_ai.agent.id`, `oauth.act.sub`, client_owner, effective_agent) IS NULL
    OR client_kind = 'agent'
    THEN TRUE
    WHEN `oauth.client.id` IS NULL OR client_known
    THEN FALSE
  END AS names_agent,
  COALESCE(
    NOT `chain.response.hash` IS NULL
    OR NOT `mcp.tool.result.bytes` IS NULL
    OR NOT `error.type` IS NULL
    OR NOT `error.code` IS NULL
    OR LOWER(TRANSLATE(`event.outcome`, 'Σİ', 'σi')) = 'failure',
    FALSE
  ) AS answered,
  COALESCE(LOWER(TRANSLATE(`mcp.tool.decision`, 'Σİ', 'σi')) = 'deny', FALSE) AS denied,
  COALESCE(`chain.cancelled`, FALSE) AS cancelled,
  COALESCE(
    LOWER(TRANSLATE(`mcp.task.status`, 'Σİ', 'σi')) IN ('working', 'input_required', 'submitted', 'running', 'cancelled'),
    FALSE
  ) AS running,
  CASE
    WHEN LOWER(TRANSLATE(`chain.prompt.origin`, 'Σİ', 'σi')) <> 'schedule'
    OR COALESCE(agent_mode, '') <> 'interactive'
    THEN CAST(NULLIF(
      ARRAY_POSITION(
        ARRAY('user', 'schedule', 'tool_output', 'agent'),
        LOWER(TRANSLATE(`chain.prompt.origin`, 'Σİ', 'σi'))
      ),
      0
    ) AS INT)
  END AS origin_code,
  CASE WHEN origin_code >= 3 THEN 3 ELSE origin_code END AS origin,
  CASE
    WHEN stage = 'tool_call' AND NOT `oauth.scope.presented` IS NULL
    THEN COALESCE(
      (
        CASE
          WHEN `oauth.scope.granted` IS NULL
          THEN `oauth.scope.risk`
          ELSE TRY_ELEMENT_AT(
            ARRAY('read', 'write', 'destructive', 'admin'),
            ARRAY_MAX(
              TRANSFORM(
                `oauth.scope.presented`,
                s_0 -> CAST(NULLIF(
                  ARRAY_POSITION(
                    ARRAY('read', 'write', 'destructive', 'admin'),
                    COALESCE(
                      TRY_ELEMENT_AT(countersign_scopes, LOWER(TRANSLATE(s_0, 'Σİ', 'σi'))).verb,
                      CASE
                        WHEN (
                          LOWER(TRANSLATE(s_0, 'Σİ', 'σi')) IN ('openid', 'profile', 'email', 'address', 'phone', 'offline_access')
                        )
                        THEN NULL
                        ELSE TRY_ELEMENT_AT(
                          ARRAY('read', 'write', 'destructive', 'admin'),
                          ARRAY_MAX(
                            TRANSFORM(
                              (
                                FILTER(
                                  SPLIT(
                                    TRANSLATE(
                                      (
                                        CASE
                                          WHEN CONTAINS(s_0, '://')
                                          THEN REGEXP_REPLACE(LOWER(TRANSLATE(s_0, 'Σİ', 'σi')), '^[a-z][a-z0-9+.-]*://(.*/)?', '')
                                          ELSE LOWER(TRANSLATE(s_0, 'Σİ', 'σi'))
                                        END
                                      ),
                                      ':/',
                                      '..'
                                    ),
                                    CONCAT('\\Q', '.', '\\E')
                                  ),
                                  part_2 -> part_2 <> ''
                                )
                              ),
                              part_1 -> CAST(NULLIF(
                                ARRAY_POSITION(
                                  ARRAY('read', 'write', 'destructive', 'admin'),
                                  (
                                    CASE
                                      WHEN part_1 IN ('read', 'readonly', 'view', 'list', 'get', 'readbasic', 'reader')
                                      THEN 'read'
                                      WHEN part_1 IN (
                                        'write',
                                        'readwrite',
                                        'create',
                                        'update',
                                        'edit',
                                        'send',
                                        'modify',
                                        'post',
                                        'writer',
                                        'manage'
                                      )
                                      THEN 'write'
                                      WHEN part_1 IN ('delete', 'remove', 'purge', 'destroy')
                                      THEN 'destructive'
                                      WHEN part_1 IN ('admin', 'fullcontrol', 'full_access', 'owner', 'all_access')
                                      THEN 'admin'
                                    END
                                  )
                                ),
                                0
                              ) AS INT)
                            )
                          )
                        )
                      END
                    )
                  ),
                  0
                ) AS INT)
              )
            )
          )
        END = 'read'
        AND (
          ARRAY_SIZE(`oauth.scope.presented`) = 1
          OR ARRAY_SIZE(
            FILTER(
              `oauth.scope.presented`,
              s_3 -> NOT (
                LOWER(TRANSLATE(s_3, 'Σİ', 'σi')) IN ('openid', 'profile', 'email', 'address', 'phone', 'offline_access')
              )
              AND COALESCE(
                TRY_ELEMENT_AT(countersign_scopes, LOWER(TRANSLATE(s_3, 'Σİ', 'σi'))).verb,
                CASE
                  WHEN (
                    LOWER(TRANSLATE(s_3, 'Σİ', 'σi')) IN ('openid', 'profile', 'email', 'address', 'phone', 'offline_access')
                  )
                  THEN NULL
                  ELSE TRY_ELEMENT_AT(
                    ARRAY('read', 'write', 'destructive', 'admin'),
                    ARRAY_MAX(
                      TRANSFORM(
                        (
                          FILTER(
                            SPLIT(
                              TRANSLATE(
                                (
                                  CASE
                                    WHEN CONTAINS(s_3, '://')
                                    THEN REGEXP_REPLACE(LOWER(TRANSLATE(s_3, 'Σİ', 'σi')), '^[a-z][a-z0-9+.-]*://(.*/)?', '')
                                    ELSE LOWER(TRANSLATE(s_3, 'Σİ', 'σi'))
                                  END
                                ),
                                ':/',
                                '..'
                              ),
                              CONCAT('\\Q', '.', '\\E')
                            ),
                            part_5 -> part_5 <> ''
                          )
                        ),
                        part_4 -> CAST(NULLIF(
                          ARRAY_POSITION(
                            ARRAY('read', 'write', 'destructive', 'admin'),
                            (
                              CASE
                                WHEN part_4 IN ('read', 'readonly', 'view', 'list', 'get', 'readbasic', 'reader')
                                THEN 'read'
                                WHEN part_4 IN (
                                  'write',
                                  'readwrite',
                                  'create',
                                  'update',
                                  'edit',
                                  'send',
                                  'modify',
                                  'post',
                                  'writer',
                                  'manage'
                                )
                                THEN 'write'
                                WHEN part_4 IN ('delete', 'remove', 'purge', 'destroy')
                                THEN 'destructive'
                                WHEN part_4 IN ('admin', 'fullcontrol', 'full_access', 'owner', 'all_access')
                                THEN 'admin'
                              END
                            )
                          ),
                          0
                        ) AS INT)
                      )
                    )
                  )
                END
              ) IS NULL
            )
          ) = 0
        )
      ),
      FALSE
    )
    ELSE FALSE
  END AS read_scope,
  COALESCE(`mcp.tool.risk` = 'read', FALSE) AS read_only_tool,
  NOT COALESCE(`oauth.scope.granted`, `oauth.scope.presented`) IS NULL
  OR stage = 'consent'
  OR LOWER(TRANSLATE(`mcp.tool.decision`, 'Σİ', 'σi')) = 'allow'
  OR (
    NOT `oauth.used`
    AND (
      LOWER(TRANSLATE(`mcp.server.exposure`, 'Σİ', 'σi')) IN ('stdio', 'loopback')
      OR LOWER(TRANSLATE(`mcp.server.auth`, 'Σİ', 'σi')) IN ('api_key', 'mtls')
    )
  ) AS granted,
  COALESCE(`mcp.server.party` = 'third', FALSE) AS third_party,
  third_party
  AND stage IN ('tool_call', 'tool_response')
  AND NOT denied
  AND COALESCE(`oauth.token.accepted`, TRUE)
  AND NOT COALESCE(
    ARRAY_CONTAINS(
      TRANSFORM(
        `mcp.server.regions`,
        r -> LOWER(TRANSLATE(TRY_ELEMENT_AT(SPLIT(r, CONCAT('\\Q', '=', '\\E')), 1), 'Σİ', 'σi'))
      ),
      'restricted'
    ),
    FALSE
  ) AS third_shown,
  COALESCE(
    LOWER(TRANSLATE(`chain.resource.classification`, 'Σİ', 'σi')) = 'restricted',
    FALSE
  ) AS restricted,
  `oauth.token.audience_match` AS audience_match,
  COALESCE(`event.dataset`, 'countersign') AS dataset,
  CASE
    WHEN NOT LOWER(TRANSLATE(`observer.name`, 'Σİ', 'σi')) IS NULL
    THEN XXHASH64(
      'emitter',
      LOWER(TRANSLATE(`observer.name`, 'Σİ', 'σi')),
      ' ' || LOWER(TRANSLATE(`observer.name`, 'Σİ', 'σi'))
    )
  END AS emitter,
  CASE
    WHEN ABS(`event.sequence`) <= 9007199254740992
    THEN CAST(`event.sequence` AS BIGINT)
  END AS sequence,
  CASE
    WHEN NOT `event.hash` IS NULL
    THEN XXHASH64('record', `event.hash`, ' ' || `event.hash`)
  END AS record_hash,
  CASE
    WHEN NOT `event.previous_hash` IS NULL
    THEN XXHASH64('record', `event.previous_hash`, ' ' || `event.previous_hash`)
  END AS previous_hash,
  COALESCE(blind_bits, CAST(0 AS BIGINT)) AS blind
FROM countersign_events;

CREATE OR REPLACE TABLE ev AS
SELECT * EXCEPT (p, idle_p, session_p, t, idle_t, session_t, x, idle_x, session_x, c, idle_c, session_c), CASE WHEN session_p > 0 THEN xxhash64(p, session_p) ELSE p END AS p, CASE WHEN session_t > 0 THEN xxhash64(t, session_t) ELSE t END AS t, CASE WHEN session_x > 0 THEN xxhash64(x, session_x) ELSE x END AS x, CASE WHEN session_c > 0 THEN xxhash64(c, session_c) ELSE c END AS c
FROM (SELECT *, sum(idle_p) OVER (PARTITION BY coalesce(p, rid) ORDER BY ts, identity ROWS UNBOUNDED PRECEDING) AS session_p, sum(idle_t) OVER (PARTITION BY coalesce(t, rid) ORDER BY ts, identity ROWS UNBOUNDED PRECEDING) AS session_t, sum(idle_x) OVER (PARTITION BY coalesce(x, rid) ORDER BY ts, identity ROWS UNBOUNDED PRECEDING) AS session_x, sum(idle_c) OVER (PARTITION BY coalesce(c, rid) ORDER BY ts, identity ROWS UNBOUNDED PRECEDING) AS session_c FROM (SELECT *, CAST(coalesce(ts - lag(ts) OVER (PARTITION BY coalesce(p, rid) ORDER BY ts, identity) > countersign_lookback, false) AS INT) AS idle_p, CAST(coalesce(ts - lag(ts) OVER (PARTITION BY coalesce(t, rid) ORDER BY ts, identity) > countersign_lookback, false) AS INT) AS idle_t, CAST(coalesce(ts - lag(ts) OVER (PARTITION BY coalesce(x, rid) ORDER BY ts, identity) > countersign_lookback, false) AS INT) AS idle_x, CAST(coalesce(ts - lag(ts) OVER (PARTITION BY coalesce(c, rid) ORDER BY ts, identity) > countersign_lookback, false) AS INT) AS idle_c FROM ev_whole));

CREATE OR REPLACE TABLE evidence AS
WITH counted AS (
  SELECT
    rid,
    sequence - LAG(sequence) OVER (
      PARTITION BY emitter
      ORDER BY ts NULLS LAST, sequence NULLS LAST, identity NULLS LAST
    ) AS step,
    sequence
  FROM ev
  WHERE
    NOT emitter IS NULL AND NOT sequence IS NULL
), hashed AS (
  SELECT
    rid,
    previous_hash <> LAG(record_hash) OVER (
      PARTITION BY emitter
      ORDER BY ts NULLS LAST, sequence NULLS LAST, identity NULLS LAST
    ) AS broken
  FROM ev
  WHERE
    NOT emitter IS NULL
    AND NOT COALESCE(sequence, record_hash, previous_hash) IS NULL
)
SELECT
  COALESCE(counted.rid, hashed.rid) AS rid,
  CASE
    WHEN step IS NULL
    THEN NULL
    WHEN sequence <= 1 AND step < 0
    THEN FALSE
    ELSE NOT step IN (0, 1)
  END AS sequence_gap,
  broken AS hash_broken
FROM counted
FULL JOIN hashed
  ON hashed.rid = counted.rid;

CREATE OR REPLACE TABLE hub AS
SELECT
  key,
  p,
  MIN(ts) AS since,
  BOOL_AND(claimed) AS claimed
FROM (
  SELECT
    t AS key,
    p,
    ts,
    p_client OR t_client AS claimed
  FROM ev
  WHERE
    NOT p IS NULL AND NOT t IS NULL
  UNION ALL
  SELECT
    x,
    p,
    ts,
    p_client OR x_client
  FROM ev
  WHERE
    NOT p IS NULL AND NOT x IS NULL
  UNION ALL
  SELECT
    c,
    p,
    ts,
    p_client OR c_client
  FROM ev
  WHERE
    NOT p IS NULL AND NOT c IS NULL
)
GROUP BY
  key,
  p;

CREATE OR REPLACE TABLE only_hub AS
SELECT
  key,
  MIN(p) AS p,
  COUNT(*) AS prompts,
  BOOL_AND(claimed) AS claimed
FROM hub
GROUP BY
  key;

CREATE OR REPLACE TABLE several AS
SELECT
  rid,
  key,
  place.p AS p,
  place.claimed AS claimed
FROM (
  SELECT
    rid,
    key,
    COALESCE(
      MAX_BY(STRUCT(p AS p, claimed AS claimed), STRUCT(since, p)) FILTER(WHERE
        since <= ts),
      MIN_BY(STRUCT(p AS p, claimed AS claimed), STRUCT(since, p))
    ) AS place
  FROM (
    SELECT
      rid,
      ts,
      t AS key
    FROM ev
    WHERE
      p IS NULL AND NOT t IS NULL
    UNION ALL
    SELECT
      rid,
      ts,
      x
    FROM ev
    WHERE
      p IS NULL AND NOT x IS NULL
    UNION ALL
    SELECT
      rid,
      ts,
      c
    FROM ev
    WHERE
      p IS NULL AND NOT c IS NULL
  )
  JOIN hub
    USING (key)
  WHERE
    key IN (
      SELECT
        key
      FROM only_hub
      WHERE
        prompts > 1
    )
  GROUP BY
    rid,
    key
);

CREATE OR REPLACE TABLE bridge AS
WITH pair AS (
  SELECT
    key,
    other,
    rank,
    BOOL_AND(claimed) AS claimed
  FROM (
    SELECT
      t AS key,
      x AS other,
      2 AS rank,
      t_client OR x_client AS claimed
    FROM ev
    WHERE
      NOT t IS NULL AND NOT x IS NULL
    UNION ALL
    SELECT
      x,
      t,
      1,
      t_client OR x_client
    FROM ev
    WHERE
      NOT t IS NULL AND NOT x IS NULL
    UNION ALL
    SELECT
      t,
      c,
      3,
      t_client OR c_client
    FROM ev
    WHERE
      NOT t IS NULL AND NOT c IS NULL
    UNION ALL
    SELECT
      c,
      t,
      1,
      t_client OR c_client
    FROM ev
    WHERE
      NOT t IS NULL AND NOT c IS NULL
    UNION ALL
    SELECT
      x,
      c,
      3,
      x_client OR c_client
    FROM ev
    WHERE
      NOT x IS NULL AND NOT c IS NULL
    UNION ALL
    SELECT
      c,
      x,
      2,
      x_client OR c_client
    FROM ev
    WHERE
      NOT x IS NULL AND NOT c IS NULL
  )
  GROUP BY
    key,
    other,
    rank
)
SELECT
  pair.key,
  MIN_BY(
    STRUCT(other AS other, rank AS rank, pair.claimed AS claimed),
    STRUCT(only_hub.key IS NULL, rank, other)
  ) AS to_hub,
  MIN_BY(STRUCT(other AS other, rank AS rank, pair.claimed AS claimed), STRUCT(rank, other)) AS higher,
  BOOL_OR(NOT only_hub.key IS NULL) AS has_hub
FROM pair
LEFT JOIN only_hub
  ON only_hub.key = pair.other
WHERE
  NOT pair.key IN (
    SELECT
      key
    FROM hub
  )
GROUP BY
  pair.key;

CREATE OR REPLACE TABLE bridged AS
SELECT
  rid,
  key,
  place.p AS p,
  place.claimed AS claimed
FROM (
  SELECT
    own.rid,
    own.key,
    COALESCE(
      MAX_BY(STRUCT(hub.p AS p, hub.claimed OR to_hub.claimed AS claimed), STRUCT(since, p)) FILTER(WHERE
        since <= own.ts),
      MIN_BY(STRUCT(hub.p AS p, hub.claimed OR to_hub.claimed AS claimed), STRUCT(since, p))
    ) AS place
  FROM (
    SELECT
      rid,
      ts,
      t AS key
    FROM ev
    WHERE
      p IS NULL AND NOT t IS NULL
    UNION ALL
    SELECT
      rid,
      ts,
      x
    FROM ev
    WHERE
      p IS NULL AND NOT x IS NULL
    UNION ALL
    SELECT
      rid,
      ts,
      c
    FROM ev
    WHERE
      p IS NULL AND NOT c IS NULL
  ) AS own
  JOIN bridge
    ON bridge.key = own.key AND has_hub
  JOIN hub
    ON hub.key = to_hub.other
  GROUP BY
    own.rid,
    own.key
);

CREATE OR REPLACE TABLE strong AS
SELECT
  rid,
  place.chain,
  place.source,
  place.claimed
FROM (
  SELECT
    ev.rid,
    CASE
      WHEN NOT ev.p IS NULL
      THEN STRUCT(ev.p AS chain, 'prompt' AS source, p_client AS claimed)
      WHEN ht.prompts = 1
      THEN STRUCT(ht.p AS chain, 'prompt' AS source, t_client OR ht.claimed AS claimed)
      WHEN ht.prompts > 1
      THEN STRUCT(st.p AS chain, 'prompt' AS source, t_client OR st.claimed AS claimed)
      WHEN hx.prompts = 1
      THEN STRUCT(hx.p AS chain, 'prompt' AS source, x_client OR hx.claimed AS claimed)
      WHEN hx.prompts > 1
      THEN STRUCT(sx.p AS chain, 'prompt' AS source, x_client OR sx.claimed AS claimed)
      WHEN hc.prompts = 1
      THEN STRUCT(hc.p AS chain, 'prompt' AS source, c_client OR hc.claimed AS claimed)
      WHEN hc.prompts > 1
      THEN STRUCT(sc.p AS chain, 'prompt' AS source, c_client OR sc.claimed AS claimed)
      WHEN NOT bt.p IS NULL
      THEN STRUCT(bt.p AS chain, 'prompt' AS source, t_client OR bt.claimed AS claimed)
      WHEN NOT bx.p IS NULL
      THEN STRUCT(bx.p AS chain, 'prompt' AS source, x_client OR bx.claimed AS claimed)
      WHEN NOT bc.p IS NULL
      THEN STRUCT(bc.p AS chain, 'prompt' AS source, c_client OR bc.claimed AS claimed)
      WHEN NOT ev.t IS NULL
      THEN STRUCT(ev.t AS chain, 'trace' AS source, t_client AS claimed)
      WHEN ux.higher.rank = 1
      THEN STRUCT(
        ux.higher.other AS chain,
        'trace' AS source,
        x_client OR ux.higher.claimed AS claimed
      )
      WHEN NOT ev.x IS NULL
      THEN STRUCT(ev.x AS chain, 'transaction' AS source, x_client AS claimed)
      WHEN uc.higher.rank = 1
      THEN STRUCT(
        uc.higher.other AS chain,
        'trace' AS source,
        c_client OR uc.higher.claimed AS claimed
      )
      WHEN uc.higher.rank = 2
      THEN STRUCT(
        uc.higher.other AS chain,
        'transaction' AS source,
        c_client OR uc.higher.claimed AS claimed
      )
      WHEN NOT ev.c IS NULL
      THEN STRUCT(ev.c AS chain, 'tool_call' AS source, c_client AS claimed)
    END AS place
  FROM ev
  LEFT JOIN only_hub AS ht
    ON ev.p IS NULL AND ht.key = ev.t
  LEFT JOIN only_hub AS hx
    ON ev.p IS NULL AND hx.key = ev.x
  LEFT JOIN only_hub AS hc
    ON ev.p IS NULL AND hc.key = ev.c
  LEFT JOIN several AS st
    ON st.rid = ev.rid AND st.key = ev.t
  LEFT JOIN several AS sx
    ON sx.rid = ev.rid AND sx.key = ev.x
  LEFT JOIN several AS sc
    ON sc.rid = ev.rid AND sc.key = ev.c
  LEFT JOIN bridged AS bt
    ON bt.rid = ev.rid AND bt.key = ev.t
  LEFT JOIN bridged AS bx
    ON bx.rid = ev.rid AND bx.key = ev.x
  LEFT JOIN bridged AS bc
    ON bc.rid = ev.rid AND bc.key = ev.c
  LEFT JOIN bridge AS ux
    ON ux.key = ev.x AND ev.p IS NULL
  LEFT JOIN bridge AS uc
    ON uc.key = ev.c AND ev.p IS NULL
  WHERE
    NOT ev.stage IS NULL
)
WHERE
  NOT place.chain IS NULL;

CREATE OR REPLACE TABLE lent AS
SELECT
  rid,
  ts,
  'token' AS source,
  h AS key
FROM ev
WHERE
  COALESCE(p, t, x, c) IS NULL AND NOT stage IS NULL AND NOT h IS NULL
UNION ALL
SELECT
  rid,
  ts,
  'request',
  r
FROM ev
WHERE
  COALESCE(p, t, x, c) IS NULL AND NOT stage IS NULL AND NOT r IS NULL;

CREATE OR REPLACE TABLE lenders AS
WITH used AS (
  SELECT key, chain, ts, CAST(coalesce(ts - lag(ts) OVER (PARTITION BY key, chain ORDER BY ts) > 2 * countersign_lookback, false) AS INT) AS pause
  FROM (SELECT h AS key, chain, ts FROM strong JOIN ev USING (rid) WHERE h IS NOT NULL
        UNION ALL SELECT r, chain, ts FROM strong JOIN ev USING (rid) WHERE r IS NOT NULL)
  WHERE key IN (SELECT key FROM lent)),
numbered AS (SELECT *, sum(pause) OVER (PARTITION BY key, chain ORDER BY ts ROWS UNBOUNDED PRECEDING) AS span FROM used)
SELECT key, chain, min(ts) AS begins, max(ts) AS ends FROM numbered GROUP BY key, chain, span;

CREATE OR REPLACE TABLE lent_to AS
SELECT rid, source, size(collect_set(CASE WHEN ends >= lent.ts - countersign_lookback THEN lenders.chain END)) AS chains,
  max_by(chain, struct(ends, chain)) AS chain
FROM lent JOIN lenders ON lent.key = lenders.key AND lent.ts + countersign_lookback >= lenders.begins
GROUP BY rid, source;

CREATE OR REPLACE TABLE placed AS
WITH lent_once AS (
  SELECT
    rid,
    MIN(chain) FILTER(WHERE
      chains = 1) AS chain,
    COUNT(DISTINCT chain) FILTER(WHERE
      chains = 1) AS lenders,
    MAX(source) FILTER(WHERE
      chains = 1) AS source,
    COALESCE(MAX(chains), 0) > 0 AS shared
  FROM lent_to
  GROUP BY
    rid
)
SELECT
  rid,
  chain,
  CASE WHEN claimed THEN 'claimed' ELSE source END AS source,
  source AS kind,
  CAST(claimed AS INT) AS member
FROM strong
UNION ALL
SELECT
  ev.rid,
  CASE WHEN lenders = 1 THEN lent_once.chain ELSE XXHASH64('record', ev.identity) END,
  CASE
    WHEN lenders = 1
    THEN lent_once.source
    WHEN shared
    THEN 'ambiguous'
    ELSE 'none'
  END,
  NULL,
  CASE WHEN lenders = 1 THEN 2 ELSE 3 END
FROM ev
LEFT JOIN lent_once
  USING (rid)
WHERE
  COALESCE(p, t, x, c) IS NULL
  AND NOT ev.stage IS NULL
  AND (
    lenders = 1 OR ev.stage IN (3, 7)
  );

CREATE OR REPLACE TABLE link AS
SELECT
  ev.rid,
  identity,
  ts,
  stage,
  blind,
  p,
  t,
  x,
  c,
  h,
  placed.chain,
  placed.source,
  placed.kind,
  placed.member,
  person,
  person_kind,
  human,
  actor_known,
  service,
  agent,
  agent_parent,
  act,
  client,
  names_agent,
  by_agent,
  span,
  parent,
  token,
  token_parent,
  server,
  system,
  audience_match,
  read_scope,
  read_only_tool,
  granted,
  origin,
  is_write,
  wrote,
  answered,
  denied,
  cancelled,
  running,
  third_party,
  third_shown,
  restricted
FROM ev
JOIN placed
  ON placed.rid = ev.rid
WHERE
  TRUE AND TRUE;

CREATE OR REPLACE TABLE agreed AS
WITH slice AS (
  SELECT
    rid,
    chain,
    stage,
    member,
    person,
    span,
    parent,
    h
  FROM link
  WHERE
    TRUE
), issued AS (
  SELECT DISTINCT
    chain
  FROM slice
  WHERE
    member = 0
)
SELECT DISTINCT
  soft.rid
FROM slice AS soft
JOIN slice AS other
  ON other.chain = soft.chain AND other.stage <> soft.stage
WHERE
  soft.member = 1
  AND soft.stage IN (1, 3, 7)
  AND (
    other.member = 0
    OR (
      other.member = 1 AND NOT soft.chain IN (
        SELECT
          chain
        FROM issued
      )
    )
  )
  AND (
    soft.person = other.person
    OR soft.parent = other.span
    OR soft.span = other.parent
    OR soft.h = other.h
  );

CREATE OR REPLACE TABLE calls AS
SELECT
  rid,
  chain,
  span,
  c,
  t,
  h,
  server,
  person,
  person_kind,
  human,
  read_scope,
  read_only_tool,
  system,
  NOT member IN (1, 2) OR rid IN (
    SELECT
      rid
    FROM agreed
  ) AS backed,
  answered
  OR denied
  OR cancelled
  OR running
  OR rid IN (
    SELECT
      called.rid
    FROM link AS called
    JOIN link AS decision
      ON decision.chain = called.chain AND decision.stage = 2 AND decision.denied
    WHERE
      called.stage = 3
      AND (
        called.c = decision.c
        OR called.parent = decision.span
        OR called.span = decision.parent
        OR called.parent = decision.parent
      )
  ) AS settled_itself
FROM link
WHERE
  stage = 3;

CREATE OR REPLACE TABLE one_call AS
SELECT
  chain,
  COUNT(*) AS n,
  COUNT(*) FILTER(WHERE
    backed) AS backed,
  MIN(rid) AS rid
FROM calls
GROUP BY
  chain;

CREATE OR REPLACE TABLE accesses AS
WITH called AS (
  SELECT
    rid,
    chain,
    span,
    c
  FROM calls
  WHERE
    TRUE
)
SELECT
  link.rid,
  link.chain,
  link.person,
  link.person_kind,
  link.human,
  link.names_agent,
  link.h,
  link.is_write,
  link.wrote,
  link.by_agent,
  link.audience_match,
  NOT link.member IN (1, 2) OR link.rid IN (
    SELECT
      rid
    FROM agreed
  ) AS backed,
  COALESCE(by_span.call, by_id.call, CASE WHEN one_call.n = 1 THEN one_call.rid END) AS call
FROM link
LEFT JOIN (
  SELECT
    chain,
    span,
    MIN(rid) AS call
  FROM called
  WHERE
    NOT span IS NULL
  GROUP BY
    chain,
    span
) AS by_span
  ON by_span.chain = link.chain AND by_span.span = link.parent
LEFT JOIN (
  SELECT
    chain,
    c,
    MIN(rid) AS call
  FROM called
  WHERE
    NOT c IS NULL
  GROUP BY
    chain,
    c
) AS by_id
  ON by_id.chain = link.chain AND by_id.c = link.c
LEFT JOIN (
  SELECT
    *
  FROM one_call
  WHERE
    TRUE
) AS one_call
  ON one_call.chain = link.chain
WHERE
  link.stage = 7 AND TRUE;

CREATE OR REPLACE TABLE mixed AS
SELECT
  chain,
  MIN(person) <> MAX(person) AS people,
  MIN(agent) <> MAX(agent) AS agents,
  MIN(h) FILTER(WHERE
    stage = 3) <> MAX(h) FILTER(WHERE
    stage = 3) AS tokens
FROM link
GROUP BY
  chain
HAVING
  people OR agents OR tokens;

CREATE OR REPLACE TABLE carried AS
SELECT
  id
FROM (
  SELECT
    t AS id,
    chain
  FROM link
  WHERE
    NOT t IS NULL
  UNION ALL
  SELECT
    x,
    chain
  FROM link
  WHERE
    NOT x IS NULL
)
GROUP BY
  id
HAVING
  MIN(chain) <> MAX(chain);

CREATE OR REPLACE TABLE bearers AS
SELECT
  carried.id,
  chain,
  stage,
  person,
  person_kind,
  agent,
  service
FROM link
JOIN carried
  ON carried.id = link.t
UNION ALL
SELECT
  carried.id,
  chain,
  stage,
  person,
  person_kind,
  agent,
  service
FROM link
JOIN carried
  ON carried.id = link.x;

CREATE OR REPLACE TABLE named AS
SELECT
  link.chain,
  stage,
  link.person,
  link.person_kind,
  COALESCE(accesses.call, link.rid) AS unit,
  stage IN (1, 3, 5) OR NOT accesses.call IS NULL AS linked
FROM link
JOIN mixed
  ON mixed.chain = link.chain AND mixed.people
LEFT JOIN accesses
  ON accesses.rid = link.rid
WHERE
  NOT link.person IS NULL;

CREATE OR REPLACE TABLE changed AS
SELECT DISTINCT
  chain
FROM (
  SELECT
    chain
  FROM named
  WHERE
    linked
  GROUP BY
    chain,
    person_kind
  HAVING
    MIN(person) <> MAX(person)
);

CREATE OR REPLACE TABLE above AS
SELECT DISTINCT
  link.chain,
  agent,
  EXPLODE(ARRAY_APPEND(COALESCE(COALESCE(act, ARRAY()), ARRAY()), agent_parent)) AS other,
  COALESCE(agent_parent, TRY_ELEMENT_AT(act, -2), TRY_ELEMENT_AT(act, -1)) AS next
FROM link
WHERE
  NOT agent IS NULL
  AND (
    NOT agent_parent IS NULL OR NOT act IS NULL
  )
  AND (
    chain IN (
      SELECT
        chain
      FROM mixed
      WHERE
        agents
    )
    OR chain IN (
      SELECT
        chain
      FROM bearers
    )
  );

CREATE OR REPLACE TABLE family AS
WITH RECURSIVE step AS (
  SELECT
    chain,
    agent,
    MIN(next) AS next
  FROM above
  WHERE
    next <> agent
  GROUP BY
    chain,
    agent
), line AS (
  SELECT
    chain,
    agent,
    next AS head,
    1 AS far
  FROM step
  UNION ALL
  SELECT
    line.chain,
    line.agent,
    step.next,
    far + 1
  FROM line
  JOIN step
    ON step.chain = line.chain AND step.agent = line.head
  WHERE
    far < 16
)
SELECT
  chain,
  agent,
  MAX_BY(head, far) AS head
FROM line
GROUP BY
  chain,
  agent;

CREATE OR REPLACE TABLE strangers AS
WITH present AS (
  SELECT DISTINCT
    link.chain,
    stage,
    link.agent,
    COALESCE(family.head, link.agent) AS head
  FROM link
  JOIN mixed
    ON mixed.chain = link.chain AND mixed.agents
  LEFT JOIN family
    ON family.chain = link.chain AND family.agent = link.agent
  WHERE
    NOT link.agent IS NULL
), pair AS (
  SELECT
    a.chain,
    a.agent AS one,
    b.agent AS other
  FROM present AS a
  JOIN present AS b
    ON a.chain = b.chain AND a.stage = b.stage AND a.agent < b.agent
  WHERE
    a.head <> b.head
)
SELECT DISTINCT
  pair.chain
FROM pair
ANTI JOIN above AS a
  ON a.chain = pair.chain AND a.agent = pair.one AND a.other = pair.other
ANTI JOIN above AS b
  ON b.chain = pair.chain AND b.agent = pair.other AND b.other = pair.one;

CREATE OR REPLACE TABLE tokens AS
WITH RECURSIVE shown AS (
  SELECT
    link.chain,
    stage,
    ts,
    identity,
    member,
    server,
    h,
    token,
    token_parent,
    person,
    service,
    agent,
    client
  FROM link
  JOIN mixed
    ON mixed.chain = link.chain AND mixed.tokens
  WHERE
    stage IN (3, 5)
), step AS (
  SELECT
    chain,
    token,
    MIN(token_parent) AS next
  FROM shown
  WHERE
    token_parent <> token
  GROUP BY
    chain,
    token
), line AS (
  SELECT
    chain,
    token,
    next AS head,
    1 AS far
  FROM step
  UNION ALL
  SELECT
    line.chain,
    line.token,
    step.next,
    far + 1
  FROM line
  JOIN step
    ON step.chain = line.chain AND step.token = line.head
  WHERE
    far < 64
), head AS (
  SELECT
    chain,
    token,
    MAX_BY(head, far) AS head
  FROM line
  GROUP BY
    chain,
    token
), known AS (
  SELECT
    chain,
    h,
    COALESCE(MIN(token_parent), MIN(token)) AS begins
  FROM shown
  WHERE
    NOT h IS NULL
  GROUP BY
    chain,
    h
), origin AS (
  SELECT
    known.chain,
    known.h,
    COALESCE(head.head, known.begins, known.h) AS origin
  FROM known
  LEFT JOIN head
    ON head.chain = known.chain AND head.token = known.begins
), lot AS (
  SELECT
    shown.chain,
    server,
    origin,
    MIN(person) AS person,
    MIN(service) AS service,
    MIN(agent) AS agent,
    MIN_BY(client, STRUCT(ts, identity)) AS client
  FROM shown
  JOIN origin
    ON origin.chain = shown.chain AND origin.h = shown.h
  WHERE
    stage = 3 AND NOT server IS NULL AND member <> 2
  GROUP BY
    shown.chain,
    server,
    origin
)
SELECT DISTINCT
  chain
FROM (
  SELECT
    chain
  FROM lot
  GROUP BY
    chain,
    server
  HAVING
    COUNT(DISTINCT COALESCE(person, service, origin)) > 1
    OR COUNT(DISTINCT client) FILTER(WHERE
      agent IS NULL AND NOT person IS NULL) > 1
);

CREATE OR REPLACE TABLE across AS
WITH quarrel AS (
  SELECT
    id,
    stage,
    person_kind
  FROM bearers
  WHERE
    NOT person IS NULL
  GROUP BY
    id,
    stage,
    person_kind
  HAVING
    MIN(person) <> MAX(person) AND MIN(chain) <> MAX(chain)
), unnamed AS (
  SELECT
    bearers.id,
    bearers.chain,
    stage,
    service,
    COALESCE(family.head, bearers.agent) AS head
  FROM bearers
  LEFT JOIN family
    ON family.chain = bearers.chain AND family.agent = bearers.agent
  WHERE
    person IS NULL AND NOT bearers.agent IS NULL
), apart AS (
  SELECT
    id,
    stage
  FROM unnamed
  GROUP BY
    id,
    stage
  HAVING
    MIN(head) <> MAX(head)
    AND MIN(chain) <> MAX(chain)
    AND NOT (
      COUNT(service) = COUNT(*) AND MIN(service) = MAX(service)
    )
)
SELECT DISTINCT
  bearers.id,
  chain
FROM bearers
JOIN quarrel
  USING (id, stage, person_kind)
WHERE
  NOT person IS NULL
UNION
SELECT
  unnamed.id,
  chain
FROM unnamed
JOIN apart
  USING (id, stage);

CREATE OR REPLACE TABLE conflict AS
SELECT
  chain
FROM (
  SELECT
    chain
  FROM named
  GROUP BY
    chain,
    stage,
    person_kind
  HAVING
    MIN(person) <> MAX(person) AND MIN(unit) <> MAX(unit)
)
UNION
SELECT
  chain
FROM strangers
UNION
SELECT
  chain
FROM tokens
UNION
SELECT
  chain
FROM across;

CREATE OR REPLACE TABLE access_facts AS
SELECT
  chain,
  BOOL_AND(NOT call IS NULL) AS attributed,
  BOOL_OR(is_write AND (
    by_agent AND backed_calls = 0 OR NOT backed
  )) AS orphan_write,
  CASE
    WHEN BOOL_OR(NOT same_person)
    THEN FALSE
    WHEN BOOL_AND(NOT same_person IS NULL) FILTER(WHERE
      call_human)
    THEN TRUE
  END AS user_propagated,
  BOOL_AND(names_agent) FILTER(WHERE
    NOT call IS NULL) AS agent_propagated,
  BOOL_OR(h = call_h AND NOT COALESCE(audience_match, FALSE)) AS passed_through,
  BOOL_OR(wrote AND read_scope) AS under_read_scope,
  BOOL_OR(wrote AND read_only_tool) AS with_read_only_tool
FROM (
  SELECT
    accesses.*,
    COALESCE(one_call.backed, 0) AS backed_calls,
    calls.h AS call_h,
    calls.human AS call_human,
    calls.read_scope,
    calls.read_only_tool,
    CASE
      WHEN calls.human
      THEN CASE
        WHEN NOT accesses.human
        THEN FALSE
        WHEN accesses.person_kind = calls.person_kind
        THEN accesses.person = calls.person
      END
    END AS same_person
  FROM accesses
  LEFT JOIN calls
    ON calls.rid = accesses.call
  LEFT JOIN one_call
    ON one_call.chain = accesses.chain
)
GROUP BY
  chain;

CREATE OR REPLACE TABLE answer AS
WITH call AS (
  SELECT
    *
  FROM calls
  WHERE
    TRUE
), said AS (
  SELECT
    chain,
    stage,
    c,
    span,
    parent,
    t
  FROM link
  WHERE
    stage IN (3, 4) AND TRUE
)
SELECT
  call.chain,
  BOOL_AND(
    settled_itself
    OR NOT by_id.c IS NULL
    OR NOT by_span.span IS NULL
    OR NOT by_trace.t IS NULL
    OR (
      one_call.n = 1 AND NOT any_answer.chain IS NULL
    )
  ) AS answered
FROM call
JOIN (
  SELECT
    *
  FROM one_call
  WHERE
    TRUE
) AS one_call
  ON one_call.chain = call.chain
LEFT JOIN (
  SELECT DISTINCT
    chain
  FROM said
  WHERE
    stage = 4
) AS any_answer
  ON any_answer.chain = call.chain
LEFT JOIN (
  SELECT DISTINCT
    chain,
    c
  FROM said
  WHERE
    stage = 4 AND NOT c IS NULL
) AS by_id
  ON by_id.chain = call.chain AND by_id.c = call.c
LEFT JOIN (
  SELECT DISTINCT
    chain,
    EXPLODE(ARRAY(span, parent)) AS span
  FROM said
  WHERE
    stage = 4
) AS by_span
  ON by_span.chain = call.chain AND by_span.span = call.span
LEFT JOIN (
  SELECT
    chain,
    t
  FROM said
  WHERE
    NOT t IS NULL
  GROUP BY
    chain,
    t
  HAVING
    COUNT(*) FILTER(WHERE
      stage = 4) >= COUNT(*) FILTER(WHERE
      stage = 3)
) AS by_trace
  ON by_trace.chain = call.chain AND by_trace.t = call.t
GROUP BY
  call.chain;

CREATE OR REPLACE TABLE dropped AS
WITH hop AS (
  SELECT
    chain,
    stage,
    TRY_ELEMENT_AT(ARRAY(0, 1, 2, 3, 4, 0, 0, 5, 0), stage + 1) AS hop,
    BOOL_OR(
      COALESCE(p, t, x) IS NULL
      AND NOT (
        blind & SHIFTLEFT(
          CAST(1 AS BIGINT),
          CAST((
            CAST(NULLIF(
              ARRAY_POSITION(
                ARRAY(
                  'prompt',
                  'user',
                  'agent',
                  'act',
                  'scope',
                  'required_scope',
                  'audience',
                  'response',
                  'arguments',
                  'correlation',
                  'proxy',
                  'token',
                  'token_hash',
                  'expiry',
                  'client',
                  'tool',
                  'server',
                  'definition',
                  'decision',
                  'conversation',
                  'auth',
                  'exposure',
                  'address',
                  'outcome',
                  'actor',
                  'resource',
                  'consent'
                ),
                'correlation'
              ),
              0
            ) AS INT) - 1
          ) AS INT)
        ) > 0
      )
    ) AS lost,
    BOOL_AND(
      (
        blind & SHIFTLEFT(
          CAST(1 AS BIGINT),
          CAST((
            CAST(NULLIF(
              ARRAY_POSITION(
                ARRAY(
                  'prompt',
                  'user',
                  'agent',
                  'act',
                  'scope',
                  'required_scope',
                  'audience',
                  'response',
                  'arguments',
                  'correlation',
                  'proxy',
                  'token',
                  'token_hash',
                  'expiry',
                  'client',
                  'tool',
                  'server',
                  'definition',
                  'decision',
                  'conversation',
                  'auth',
                  'exposure',
                  'address',
                  'outcome',
                  'actor',
                  'resource',
                  'consent'
                ),
                'correlation'
              ),
              0
            ) AS INT) - 1
          ) AS INT)
        ) > 0
      )
    ) AS blind,
    BOOL_OR(COALESCE(p, t, x) IS NULL) AS lacked,
    BOOL_OR(NOT COALESCE(p, t, x) IS NULL) AS had
  FROM link
  WHERE
    stage IN (1, 2, 3, 4, 7)
    AND chain IN (
      SELECT
        chain
      FROM link
      WHERE
        COALESCE(p, t, x) IS NULL AND stage IN (2, 3, 4, 7)
    )
  GROUP BY
    chain,
    stage
)
SELECT
  later.chain,
  MIN_BY(later.stage, STRUCT(later.blind, later.hop)) AS stage
FROM hop AS later
JOIN hop AS earlier
  ON earlier.chain = later.chain AND earlier.hop < later.hop
WHERE
  (
    later.lost OR later.lacked AND later.blind
  ) AND earlier.had
GROUP BY
  later.chain;

CREATE OR REPLACE TABLE soft_prompt AS
SELECT
  chain,
  BOOL_OR(NOT member IN (1, 2) OR rid IN (
    SELECT
      rid
    FROM agreed
  )) AS backed
FROM link
WHERE
  stage = 1
GROUP BY
  chain;

CREATE OR REPLACE TABLE handed_on AS
SELECT DISTINCT
  chain
FROM placed
WHERE
  rid IN (
    SELECT
      worker.rid
    FROM ev AS worker
    JOIN ev AS root
      ON root.t = worker.t
    WHERE
      worker.stage = 1
      AND worker.origin_code = 4
      AND NOT worker.t_client
      AND root.stage = 1
      AND root.origin_code <= 2
      AND NOT root.t_client
      AND root.ts <= worker.ts + 60000000
      AND COALESCE(root.person_kind <> worker.person_kind OR root.person = worker.person, TRUE)
  );

CREATE OR REPLACE TABLE shared AS
SELECT
  chain
FROM link
WHERE
  restricted OR third_shown
GROUP BY
  chain
HAVING
  MAX(ts) FILTER(WHERE
    third_shown) >= MIN(ts) FILTER(WHERE
    restricted) - 60000000;

CREATE OR REPLACE TABLE chain_base AS
SELECT
  chain,
  COALESCE(MIN(kind), MIN(source)) AS kind,
  COALESCE(BOOL_AND(source = 'claimed') FILTER(WHERE
    NOT kind IS NULL), FALSE) AS claimed,
  MIN(source) FILTER(WHERE
    kind IS NULL) AS weak_source,
  MIN(ts) AS start,
  MAX(ts) AS `end`,
  COUNT(*) FILTER(WHERE
    stage = 1) AS prompts,
  COUNT(*) FILTER(WHERE
    stage = 2) AS decisions,
  COUNT(*) FILTER(WHERE
    stage = 3) AS tool_calls,
  COUNT(*) FILTER(WHERE
    stage = 4) AS responses,
  COUNT(*) FILTER(WHERE
    stage = 5) AS tokens,
  COUNT(*) FILTER(WHERE
    stage = 7) AS accesses,
  COUNT(*) FILTER(WHERE
    stage = 7 AND is_write) AS writes,
  COUNT(*) FILTER(WHERE
    stage = 1 AND origin = 2) AS schedule_prompts,
  COUNT(*) FILTER(WHERE
    stage = 1 AND origin = 1) AS user_prompts,
  COUNT(*) FILTER(WHERE
    stage = 1 AND origin = 3) AS untrusted_prompts,
  BOOL_OR(human) FILTER(WHERE
    stage = 3) AS call_human,
  BOOL_OR(actor_known) FILTER(WHERE
    stage = 7) AS access_actor,
  BOOL_OR(granted) AS granted,
  BOOL_OR(third_party) AS third_party,
  BOOL_OR(restricted) AS restricted,
  MIN(ts) FILTER(WHERE
    stage = 1) AS prompt_at,
  MIN(ts) FILTER(WHERE
    stage = 3) AS call_at,
  MIN(ts) FILTER(WHERE
    stage = 4) AS answer_at,
  MIN(agent) AS agent,
  MIN(system) AS system,
  BIT_OR(SHIFTLEFT(CAST(1 AS BIGINT), CAST(stage AS INT))) AS seen,
  BIT_AND(blind) FILTER(WHERE
    stage = 1) AS blind1,
  BIT_AND(blind) FILTER(WHERE
    stage = 2) AS blind2,
  BIT_AND(blind) FILTER(WHERE
    stage = 3) AS blind3,
  BIT_AND(blind) FILTER(WHERE
    stage = 4) AS blind4,
  BIT_AND(blind) FILTER(WHERE
    stage = 5) AS blind5,
  BIT_AND(blind) FILTER(WHERE
    stage = 6) AS blind6,
  BIT_AND(blind) FILTER(WHERE
    stage = 7) AS blind7,
  BIT_AND(blind) FILTER(WHERE
    stage = 8) AS blind8
FROM link
GROUP BY
  chain;

CREATE OR REPLACE TABLE expected AS
WITH member AS (
  SELECT DISTINCT
    chain,
    EXPLODE(ARRAY(agent, system)) AS who
  FROM link
), whose AS (
  SELECT
    member.chain,
    who,
    chain_base.start AS began,
    chain_base.`end` AS ended,
    seen
  FROM member
  JOIN chain_base
    USING (chain)
  WHERE
    NOT who IS NULL
), covered AS (
  SELECT
    chain,
    BIT_OR(stages) AS stages,
    TRUE AS listed
  FROM whose
  JOIN (
    SELECT
      XXHASH64('agent', agent, ' ' || agent) AS who,
      (
        SHIFTLEFT(CAST(COALESCE(ARRAY_CONTAINS(stages, 'prompt'), FALSE) AS BIGINT), CAST(1 AS INT)) | SHIFTLEFT(
          CAST(COALESCE(ARRAY_CONTAINS(stages, 'decision'), FALSE) AS BIGINT),
          CAST(2 AS INT)
        ) | SHIFTLEFT(
          CAST(COALESCE(ARRAY_CONTAINS(stages, 'tool_call'), FALSE) AS BIGINT),
          CAST(3 AS INT)
        ) | SHIFTLEFT(
          CAST(COALESCE(ARRAY_CONTAINS(stages, 'tool_response'), FALSE) AS BIGINT),
          CAST(4 AS INT)
        ) | SHIFTLEFT(CAST(COALESCE(ARRAY_CONTAINS(stages, 'token'), FALSE) AS BIGINT), CAST(5 AS INT)) | SHIFTLEFT(CAST(COALESCE(ARRAY_CONTAINS(stages, 'consent'), FALSE) AS BIGINT), CAST(6 AS INT)) | SHIFTLEFT(CAST(COALESCE(ARRAY_CONTAINS(stages, 'access'), FALSE) AS BIGINT), CAST(7 AS INT)) | SHIFTLEFT(CAST(COALESCE(ARRAY_CONTAINS(stages, 'change'), FALSE) AS BIGINT), CAST(8 AS INT))
      ) AS stages,
      since
    FROM reg_coverage
    WHERE
      NOT agent IS NULL
    UNION ALL
    SELECT
      XXHASH64('system', system, ' ' || system),
      (
        SHIFTLEFT(CAST(COALESCE(ARRAY_CONTAINS(stages, 'prompt'), FALSE) AS BIGINT), CAST(1 AS INT)) | SHIFTLEFT(
          CAST(COALESCE(ARRAY_CONTAINS(stages, 'decision'), FALSE) AS BIGINT),
          CAST(2 AS INT)
        ) | SHIFTLEFT(
          CAST(COALESCE(ARRAY_CONTAINS(stages, 'tool_call'), FALSE) AS BIGINT),
          CAST(3 AS INT)
        ) | SHIFTLEFT(
          CAST(COALESCE(ARRAY_CONTAINS(stages, 'tool_response'), FALSE) AS BIGINT),
          CAST(4 AS INT)
        ) | SHIFTLEFT(CAST(COALESCE(ARRAY_CONTAINS(stages, 'token'), FALSE) AS BIGINT), CAST(5 AS INT)) | SHIFTLEFT(CAST(COALESCE(ARRAY_CONTAINS(stages, 'consent'), FALSE) AS BIGINT), CAST(6 AS INT)) | SHIFTLEFT(CAST(COALESCE(ARRAY_CONTAINS(stages, 'access'), FALSE) AS BIGINT), CAST(7 AS INT)) | SHIFTLEFT(CAST(COALESCE(ARRAY_CONTAINS(stages, 'change'), FALSE) AS BIGINT), CAST(8 AS INT))
      ),
      since
    FROM reg_coverage
    WHERE
      NOT system IS NULL
  )
    USING (who)
  WHERE
    COALESCE(since <= began, TRUE)
  GROUP BY
    chain
), slices AS (
  SELECT
    who,
    stage,
    slice,
    MIN(first) AS first,
    MAX(last) AS last
  FROM (
    SELECT
      who,
      stage,
      began DIV countersign_lookback AS slice,
      began AS first,
      began AS last
    FROM whose, VALUES
      (1),
      (3),
      (4) AS s(stage)
    WHERE
      seen & SHIFTLEFT(CAST(1 AS BIGINT), CAST(stage AS INT)) > 0
      AND ended > countersign_before
    UNION ALL
    SELECT
      *
    FROM carried_slices
  )
  GROUP BY ALL
), lacking AS (
  SELECT
    chain,
    who,
    began,
    stage,
    began DIV countersign_lookback + step AS slice
  FROM whose, VALUES
    (1),
    (3),
    (4) AS s(stage), VALUES
    (-1),
    (0),
    (1) AS n(step)
  WHERE
    seen & SHIFTLEFT(CAST(1 AS BIGINT), CAST(stage AS INT)) = 0
), near AS (
  SELECT DISTINCT
    lacking.chain,
    lacking.stage
  FROM lacking
  JOIN slices
    USING (who, stage, slice)
  WHERE
    ABS(began - first) <= countersign_lookback
    OR ABS(began - last) <= countersign_lookback
    OR began BETWEEN first AND last
)
SELECT
  chain_base.chain,
  COALESCE(
    ANY_VALUE(covered.stages, TRUE) IGNORE NULLS,
    BIT_OR(
      CASE
        WHEN NOT near.stage IS NULL
        THEN SHIFTLEFT(CAST(1 AS BIGINT), CAST(near.stage AS INT))
        ELSE CAST(0 AS BIGINT)
      END
    )
  ) AS stages,
  ANY_VALUE(covered.stages, TRUE) IGNORE NULLS AS covered,
  CASE
    WHEN ANY_VALUE(covered.stages, TRUE) IGNORE NULLS IS NULL
    THEN (
      CAST(26 AS BIGINT) & ~ANY_VALUE(seen, TRUE) IGNORE NULLS
    ) & ~COALESCE(BIT_OR(SHIFTLEFT(CAST(1 AS BIGINT), CAST(near.stage AS INT))), CAST(0 AS BIGINT))
    ELSE CAST(0 AS BIGINT)
  END AS undecided
FROM chain_base
LEFT JOIN covered
  ON covered.chain = chain_base.chain
LEFT JOIN near
  ON near.chain = chain_base.chain
GROUP BY
  chain_base.chain;

CREATE OR REPLACE TABLE chains AS
SELECT
  b.chain,
  CASE
    WHEN b.claimed
    THEN 'claimed'
    WHEN b.kind IS NULL
    THEN b.weak_source
    ELSE b.kind
  END AS `chain.id_source`,
  b.start AS `chain.start`,
  b.`end` AS `chain.end`,
  (
    b.`end` - b.start
  ) / 1e6 AS `chain.duration_sec`,
  b.prompts AS `chain.prompts`,
  b.decisions AS `chain.decisions`,
  b.tool_calls AS `chain.tool_calls`,
  b.responses AS `chain.responses`,
  b.tokens AS `chain.tokens`,
  b.accesses AS `chain.accesses`,
  b.writes AS `chain.writes`,
  (
    COALESCE(soft_prompt.backed, FALSE) OR (
      b.prompts = 0 AND b.kind = 'prompt'
    )
  )
  AND COALESCE(backing.all_backed, TRUE) AS `chain.has_prompt`,
  b.user_prompts > 0
  AND COALESCE(soft_prompt.backed, FALSE)
  AND COALESCE(backing.all_backed, TRUE) AS `chain.has_user_prompt`,
  answer.answered AS `chain.answered`,
  CASE WHEN b.tool_calls > 0 THEN COALESCE(backing.human, FALSE) END AS `chain.user_linked`,
  af.user_propagated AS `chain.user_propagated`,
  af.agent_propagated AS `chain.agent_propagated`,
  NOT changed.chain IS NULL AND conflict.chain IS NULL AS `chain.user_changed`,
  NOT conflict.chain IS NULL AS `chain.conflict`,
  NOT dropped.chain IS NULL AS `chain.id_dropped`,
  COALESCE(af.passed_through, FALSE) AS `chain.token_passed_through`,
  COALESCE(af.orphan_write, FALSE) AS `chain.orphan_write`,
  COALESCE(af.under_read_scope, FALSE) AS `chain.wrote_under_read_scope`,
  COALESCE(af.with_read_only_tool, FALSE) AS `chain.wrote_with_read_only_tool`,
  NOT (
    COALESCE(b.call_at < b.prompt_at - 60000000, FALSE)
    OR COALESCE(b.answer_at < b.call_at - 60000000, FALSE)
  ) AS `chain.ordered`,
  b.prompts > 0
  AND COALESCE(soft_prompt.backed, FALSE)
  AND COALESCE(
    backing.all_backed AND (
      backing.human OR b.schedule_prompts = b.prompts
    ),
    FALSE
  )
  AND COALESCE(answer.answered, FALSE)
  AND COALESCE(b.granted, FALSE)
  AND COALESCE(b.access_actor, FALSE)
  AND NOT COALESCE(af.orphan_write, FALSE) AS `chain.complete`,
  CASE
    WHEN NOT `chain.complete`
    THEN FILTER(
      ARRAY(
        CASE
          WHEN b.prompts = 0 OR NOT COALESCE(soft_prompt.backed, FALSE)
          THEN 'prompt'
        END,
        CASE
          WHEN NOT COALESCE(backing.all_backed, FALSE) OR COALESCE(af.orphan_write, FALSE)
          THEN 'call'
        END,
        CASE
          WHEN NOT COALESCE(b.call_human OR (
            b.prompts > 0 AND b.schedule_prompts = b.prompts
          ), FALSE)
          THEN 'user'
        END,
        CASE WHEN NOT COALESCE(answer.answered, FALSE) THEN 'response' END,
        CASE WHEN NOT COALESCE(b.granted, FALSE) THEN 'grant' END,
        CASE WHEN NOT COALESCE(b.access_actor, FALSE) THEN 'actor' END
      ),
      part -> NOT part IS NULL
    )
  END AS `chain.missing`,
  b.prompts > 0 AND b.untrusted_prompts = b.prompts AND handed_on.chain IS NULL AS `chain.prompt_untrusted_only`,
  COALESCE(b.third_party, FALSE) AS `chain.third_party`,
  COALESCE(b.restricted, FALSE) AS `chain.restricted_data`,
  NOT shared.chain IS NULL AS `chain.restricted_shared`,
  af.attributed AS `chain.attributed`,
  TRY_ELEMENT_AT(
    ARRAY('prompt', 'decision', 'tool_call', 'tool_response', 'token', 'consent', 'access', 'change'),
    dropped.stage
  ) AS `chain.id_dropped_at`,
  FLATTEN(
    ARRAY(
      CASE
        WHEN b.prompts = 0 AND expected.stages & 2 = 0
        THEN ARRAY('prompt')
        ELSE ARRAY()
      END,
      CASE
        WHEN b.tool_calls = 0 AND expected.stages & 8 = 0
        THEN ARRAY('tool_call')
        ELSE ARRAY()
      END,
      CASE
        WHEN b.responses = 0 AND expected.stages & 16 = 0
        THEN ARRAY('tool_response')
        ELSE ARRAY()
      END,
      (
        CASE
          WHEN COALESCE(b.blind1, 0) = 0
          THEN ARRAY()
          ELSE FILTER(
            ARRAY(
              CASE
                WHEN b.blind1 & 1 > 0 AND CAST(0 AS BIGINT) & 2 = 0
                THEN 'prompt' || '.prompt'
              END,
              CASE WHEN b.blind1 & 2 > 0 THEN 'prompt' || '.user' END,
              CASE WHEN b.blind1 & 4 > 0 THEN 'prompt' || '.agent' END,
              CASE WHEN b.blind1 & 8 > 0 THEN 'prompt' || '.act' END,
              CASE WHEN b.blind1 & 16 > 0 THEN 'prompt' || '.scope' END,
              CASE WHEN b.blind1 & 32 > 0 THEN 'prompt' || '.required_scope' END,
              CASE WHEN b.blind1 & 64 > 0 THEN 'prompt' || '.audience' END,
              CASE
                WHEN b.blind1 & 128 > 0 AND CAST(0 AS BIGINT) & 16 = 0
                THEN 'prompt' || '.response'
              END,
              CASE WHEN b.blind1 & 256 > 0 THEN 'prompt' || '.arguments' END,
              CASE WHEN b.blind1 & 512 > 0 THEN 'prompt' || '.correlation' END,
              CASE WHEN b.blind1 & 1024 > 0 THEN 'prompt' || '.proxy' END,
              CASE WHEN b.blind1 & 2048 > 0 THEN 'prompt' || '.token' END,
              CASE WHEN b.blind1 & 4096 > 0 THEN 'prompt' || '.token_hash' END,
              CASE WHEN b.blind1 & 8192 > 0 THEN 'prompt' || '.expiry' END,
              CASE WHEN b.blind1 & 16384 > 0 THEN 'prompt' || '.client' END,
              CASE WHEN b.blind1 & 32768 > 0 THEN 'prompt' || '.tool' END,
              CASE WHEN b.blind1 & 65536 > 0 THEN 'prompt' || '.server' END,
              CASE WHEN b.blind1 & 131072 > 0 THEN 'prompt' || '.definition' END,
              CASE WHEN b.blind1 & 262144 > 0 THEN 'prompt' || '.decision' END,
              CASE WHEN b.blind1 & 524288 > 0 THEN 'prompt' || '.conversation' END,
              CASE WHEN b.blind1 & 1048576 > 0 THEN 'prompt' || '.auth' END,
              CASE WHEN b.blind1 & 2097152 > 0 THEN 'prompt' || '.exposure' END,
              CASE WHEN b.blind1 & 4194304 > 0 THEN 'prompt' || '.address' END,
              CASE WHEN b.blind1 & 8388608 > 0 THEN 'prompt' || '.outcome' END,
              CASE WHEN b.blind1 & 16777216 > 0 THEN 'prompt' || '.actor' END,
              CASE WHEN b.blind1 & 33554432 > 0 THEN 'prompt' || '.resource' END,
              CASE WHEN b.blind1 & 67108864 > 0 THEN 'prompt' || '.consent' END
            ),
            pair_7 -> NOT pair_7 IS NULL
          )
        END
      ),
      (
        CASE
          WHEN COALESCE(b.blind2, 0) = 0
          THEN ARRAY()
          ELSE FILTER(
            ARRAY(
              CASE
                WHEN b.blind2 & 1 > 0 AND CAST(0 AS BIGINT) & 2 = 0
                THEN 'decision' || '.prompt'
              END,
              CASE WHEN b.blind2 & 2 > 0 THEN 'decision' || '.user' END,
              CASE WHEN b.blind2 & 4 > 0 THEN 'decision' || '.agent' END,
              CASE WHEN b.blind2 & 8 > 0 THEN 'decision' || '.act' END,
              CASE WHEN b.blind2 & 16 > 0 THEN 'decision' || '.scope' END,
              CASE WHEN b.blind2 & 32 > 0 THEN 'decision' || '.required_scope' END,
              CASE WHEN b.blind2 & 64 > 0 THEN 'decision' || '.audience' END,
              CASE
                WHEN b.blind2 & 128 > 0 AND CAST(0 AS BIGINT) & 16 = 0
                THEN 'decision' || '.response'
              END,
              CASE WHEN b.blind2 & 256 > 0 THEN 'decision' || '.arguments' END,
              CASE WHEN b.blind2 & 512 > 0 THEN 'decision' || '.correlation' END,
              CASE WHEN b.blind2 & 1024 > 0 THEN 'decision' || '.proxy' END,
              CASE WHEN b.blind2 & 2048 > 0 THEN 'decision' || '.token' END,
              CASE WHEN b.blind2 & 4096 > 0 THEN 'decision' || '.token_hash' END,
              CASE WHEN b.blind2 & 8192 > 0 THEN 'decision' || '.expiry' END,
              CASE WHEN b.blind2 & 16384 > 0 THEN 'decision' || '.client' END,
              CASE WHEN b.blind2 & 32768 > 0 THEN 'decision' || '.tool' END,
              CASE WHEN b.blind2 & 65536 > 0 THEN 'decision' || '.server' END,
              CASE WHEN b.blind2 & 131072 > 0 THEN 'decision' || '.definition' END,
              CASE WHEN b.blind2 & 262144 > 0 THEN 'decision' || '.decision' END,
              CASE WHEN b.blind2 & 524288 > 0 THEN 'decision' || '.conversation' END,
              CASE WHEN b.blind2 & 1048576 > 0 THEN 'decision' || '.auth' END,
              CASE WHEN b.blind2 & 2097152 > 0 THEN 'decision' || '.exposure' END,
              CASE WHEN b.blind2 & 4194304 > 0 THEN 'decision' || '.address' END,
              CASE WHEN b.blind2 & 8388608 > 0 THEN 'decision' || '.outcome' END,
              CASE WHEN b.blind2 & 16777216 > 0 THEN 'decision' || '.actor' END,
              CASE WHEN b.blind2 & 33554432 > 0 THEN 'decision' || '.resource' END,
              CASE WHEN b.blind2 & 67108864 > 0 THEN 'decision' || '.consent' END
            ),
            pair_6 -> NOT pair_6 IS NULL
          )
        END
      ),
      (
        CASE
          WHEN COALESCE(b.blind3, 0) = 0
          THEN ARRAY()
          ELSE FILTER(
            ARRAY(
              CASE
                WHEN b.blind3 & 1 > 0 AND COALESCE(expected.covered, CAST(0 AS BIGINT)) & 2 = 0
                THEN 'tool_call' || '.prompt'
              END,
              CASE WHEN b.blind3 & 2 > 0 THEN 'tool_call' || '.user' END,
              CASE WHEN b.blind3 & 4 > 0 THEN 'tool_call' || '.agent' END,
              CASE WHEN b.blind3 & 8 > 0 THEN 'tool_call' || '.act' END,
              CASE WHEN b.blind3 & 16 > 0 THEN 'tool_call' || '.scope' END,
              CASE WHEN b.blind3 & 32 > 0 THEN 'tool_call' || '.required_scope' END,
              CASE WHEN b.blind3 & 64 > 0 THEN 'tool_call' || '.audience' END,
              CASE
                WHEN b.blind3 & 128 > 0 AND COALESCE(expected.covered, CAST(0 AS BIGINT)) & 16 = 0
                THEN 'tool_call' || '.response'
              END,
              CASE WHEN b.blind3 & 256 > 0 THEN 'tool_call' || '.arguments' END,
              CASE WHEN b.blind3 & 512 > 0 THEN 'tool_call' || '.correlation' END,
              CASE WHEN b.blind3 & 1024 > 0 THEN 'tool_call' || '.proxy' END,
              CASE WHEN b.blind3 & 2048 > 0 THEN 'tool_call' || '.token' END,
              CASE WHEN b.blind3 & 4096 > 0 THEN 'tool_call' || '.token_hash' END,
              CASE WHEN b.blind3 & 8192 > 0 THEN 'tool_call' || '.expiry' END,
              CASE WHEN b.blind3 & 16384 > 0 THEN 'tool_call' || '.client' END,
              CASE WHEN b.blind3 & 32768 > 0 THEN 'tool_call' || '.tool' END,
              CASE WHEN b.blind3 & 65536 > 0 THEN 'tool_call' || '.server' END,
              CASE WHEN b.blind3 & 131072 > 0 THEN 'tool_call' || '.definition' END,
              CASE WHEN b.blind3 & 262144 > 0 THEN 'tool_call' || '.decision' END,
              CASE WHEN b.blind3 & 524288 > 0 THEN 'tool_call' || '.conversation' END,
              CASE WHEN b.blind3 & 1048576 > 0 THEN 'tool_call' || '.auth' END,
              CASE WHEN b.blind3 & 2097152 > 0 THEN 'tool_call' || '.exposure' END,
              CASE WHEN b.blind3 & 4194304 > 0 THEN 'tool_call' || '.address' END,
              CASE WHEN b.blind3 & 8388608 > 0 THEN 'tool_call' || '.outcome' END,
              CASE WHEN b.blind3 & 16777216 > 0 THEN 'tool_call' || '.actor' END,
              CASE WHEN b.blind3 & 33554432 > 0 THEN 'tool_call' || '.resource' END,
              CASE WHEN b.blind3 & 67108864 > 0 THEN 'tool_call' || '.consent' END
            ),
            pair_5 -> NOT pair_5 IS NULL
          )
        END
      ),
      (
        CASE
          WHEN COALESCE(b.blind4, 0) = 0
          THEN ARRAY()
          ELSE FILTER(
            ARRAY(
              CASE
                WHEN b.blind4 & 1 > 0 AND CAST(0 AS BIGINT) & 2 = 0
                THEN 'tool_response' || '.prompt'
              END,
              CASE WHEN b.blind4 & 2 > 0 THEN 'tool_response' || '.user' END,
              CASE WHEN b.blind4 & 4 > 0 THEN 'tool_response' || '.agent' END,
              CASE WHEN b.blind4 & 8 > 0 THEN 'tool_response' || '.act' END,
              CASE WHEN b.blind4 & 16 > 0 THEN 'tool_response' || '.scope' END,
              CASE WHEN b.blind4 & 32 > 0 THEN 'tool_response' || '.required_scope' END,
              CASE WHEN b.blind4 & 64 > 0 THEN 'tool_response' || '.audience' END,
              CASE
                WHEN b.blind4 & 128 > 0 AND CAST(0 AS BIGINT) & 16 = 0
                THEN 'tool_response' || '.response'
              END,
              CASE WHEN b.blind4 & 256 > 0 THEN 'tool_response' || '.arguments' END,
              CASE WHEN b.blind4 & 512 > 0 THEN 'tool_response' || '.correlation' END,
              CASE WHEN b.blind4 & 1024 > 0 THEN 'tool_response' || '.proxy' END,
              CASE WHEN b.blind4 & 2048 > 0 THEN 'tool_response' || '.token' END,
              CASE WHEN b.blind4 & 4096 > 0 THEN 'tool_response' || '.token_hash' END,
              CASE WHEN b.blind4 & 8192 > 0 THEN 'tool_response' || '.expiry' END,
              CASE WHEN b.blind4 & 16384 > 0 THEN 'tool_response' || '.client' END,
              CASE WHEN b.blind4 & 32768 > 0 THEN 'tool_response' || '.tool' END,
              CASE WHEN b.blind4 & 65536 > 0 THEN 'tool_response' || '.server' END,
              CASE WHEN b.blind4 & 131072 > 0 THEN 'tool_response' || '.definition' END,
              CASE WHEN b.blind4 & 262144 > 0 THEN 'tool_response' || '.decision' END,
              CASE WHEN b.blind4 & 524288 > 0 THEN 'tool_response' || '.conversation' END,
              CASE WHEN b.blind4 & 1048576 > 0 THEN 'tool_response' || '.auth' END,
              CASE WHEN b.blind4 & 2097152 > 0 THEN 'tool_response' || '.exposure' END,
              CASE WHEN b.blind4 & 4194304 > 0 THEN 'tool_response' || '.address' END,
              CASE WHEN b.blind4 & 8388608 > 0 THEN 'tool_response' || '.outcome' END,
              CASE WHEN b.blind4 & 16777216 > 0 THEN 'tool_response' || '.actor' END,
              CASE WHEN b.blind4 & 33554432 > 0 THEN 'tool_response' || '.resource' END,
              CASE WHEN b.blind4 & 67108864 > 0 THEN 'tool_response' || '.consent' END
            ),
            pair_4 -> NOT pair_4 IS NULL
          )
        END
      ),
      (
        CASE
          WHEN COALESCE(b.blind5, 0) = 0
          THEN ARRAY()
          ELSE FILTER(
            ARRAY(
              CASE
                WHEN b.blind5 & 1 > 0 AND CAST(0 AS BIGINT) & 2 = 0
                THEN 'token' || '.prompt'
              END,
              CASE WHEN b.blind5 & 2 > 0 THEN 'token' || '.user' END,
              CASE WHEN b.blind5 & 4 > 0 THEN 'token' || '.agent' END,
              CASE WHEN b.blind5 & 8 > 0 THEN 'token' || '.act' END,
              CASE WHEN b.blind5 & 16 > 0 THEN 'token' || '.scope' END,
              CASE WHEN b.blind5 & 32 > 0 THEN 'token' || '.required_scope' END,
              CASE WHEN b.blind5 & 64 > 0 THEN 'token' || '.audience' END,
              CASE
                WHEN b.blind5 & 128 > 0 AND CAST(0 AS BIGINT) & 16 = 0
                THEN 'token' || '.response'
              END,
              CASE WHEN b.blind5 & 256 > 0 THEN 'token' || '.arguments' END,
              CASE WHEN b.blind5 & 512 > 0 THEN 'token' || '.correlation' END,
              CASE WHEN b.blind5 & 1024 > 0 THEN 'token' || '.proxy' END,
              CASE WHEN b.blind5 & 2048 > 0 THEN 'token' || '.token' END,
              CASE WHEN b.blind5 & 4096 > 0 THEN 'token' || '.token_hash' END,
              CASE WHEN b.blind5 & 8192 > 0 THEN 'token' || '.expiry' END,
              CASE WHEN b.blind5 & 16384 > 0 THEN 'token' || '.client' END,
              CASE WHEN b.blind5 & 32768 > 0 THEN 'token' || '.tool' END,
              CASE WHEN b.blind5 & 65536 > 0 THEN 'token' || '.server' END,
              CASE WHEN b.blind5 & 131072 > 0 THEN 'token' || '.definition' END,
              CASE WHEN b.blind5 & 262144 > 0 THEN 'token' || '.decision' END,
              CASE WHEN b.blind5 & 524288 > 0 THEN 'token' || '.conversation' END,
              CASE WHEN b.blind5 & 1048576 > 0 THEN 'token' || '.auth' END,
              CASE WHEN b.blind5 & 2097152 > 0 THEN 'token' || '.exposure' END,
              CASE WHEN b.blind5 & 4194304 > 0 THEN 'token' || '.address' END,
              CASE WHEN b.blind5 & 8388608 > 0 THEN 'token' || '.outcome' END,
              CASE WHEN b.blind5 & 16777216 > 0 THEN 'token' || '.actor' END,
              CASE WHEN b.blind5 & 33554432 > 0 THEN 'token' || '.resource' END,
              CASE WHEN b.blind5 & 67108864 > 0 THEN 'token' || '.consent' END
            ),
            pair_3 -> NOT pair_3 IS NULL
          )
        END
      ),
      (
        CASE
          WHEN COALESCE(b.blind6, 0) = 0
          THEN ARRAY()
          ELSE FILTER(
            ARRAY(
              CASE
                WHEN b.blind6 & 1 > 0 AND CAST(0 AS BIGINT) & 2 = 0
                THEN 'consent' || '.prompt'
              END,
              CASE WHEN b.blind6 & 2 > 0 THEN 'consent' || '.user' END,
              CASE WHEN b.blind6 & 4 > 0 THEN 'consent' || '.agent' END,
              CASE WHEN b.blind6 & 8 > 0 THEN 'consent' || '.act' END,
              CASE WHEN b.blind6 & 16 > 0 THEN 'consent' || '.scope' END,
              CASE WHEN b.blind6 & 32 > 0 THEN 'consent' || '.required_scope' END,
              CASE WHEN b.blind6 & 64 > 0 THEN 'consent' || '.audience' END,
              CASE
                WHEN b.blind6 & 128 > 0 AND CAST(0 AS BIGINT) & 16 = 0
                THEN 'consent' || '.response'
              END,
              CASE WHEN b.blind6 & 256 > 0 THEN 'consent' || '.arguments' END,
              CASE WHEN b.blind6 & 512 > 0 THEN 'consent' || '.correlation' END,
              CASE WHEN b.blind6 & 1024 > 0 THEN 'consent' || '.proxy' END,
              CASE WHEN b.blind6 & 2048 > 0 THEN 'consent' || '.token' END,
              CASE WHEN b.blind6 & 4096 > 0 THEN 'consent' || '.token_hash' END,
              CASE WHEN b.blind6 & 8192 > 0 THEN 'consent' || '.expiry' END,
              CASE WHEN b.blind6 & 16384 > 0 THEN 'consent' || '.client' END,
              CASE WHEN b.blind6 & 32768 > 0 THEN 'consent' || '.tool' END,
              CASE WHEN b.blind6 & 65536 > 0 THEN 'consent' || '.server' END,
              CASE WHEN b.blind6 & 131072 > 0 THEN 'consent' || '.definition' END,
              CASE WHEN b.blind6 & 262144 > 0 THEN 'consent' || '.decision' END,
              CASE WHEN b.blind6 & 524288 > 0 THEN 'consent' || '.conversation' END,
              CASE WHEN b.blind6 & 1048576 > 0 THEN 'consent' || '.auth' END,
              CASE WHEN b.blind6 & 2097152 > 0 THEN 'consent' || '.exposure' END,
              CASE WHEN b.blind6 & 4194304 > 0 THEN 'consent' || '.address' END,
              CASE WHEN b.blind6 & 8388608 > 0 THEN 'consent' || '.outcome' END,
              CASE WHEN b.blind6 & 16777216 > 0 THEN 'consent' || '.actor' END,
              CASE WHEN b.blind6 & 33554432 > 0 THEN 'consent' || '.resource' END,
              CASE WHEN b.blind6 & 67108864 > 0 THEN 'consent' || '.consent' END
            ),
            pair_2 -> NOT pair_2 IS NULL
          )
        END
      ),
      (
        CASE
          WHEN COALESCE(b.blind7, 0) = 0
          THEN ARRAY()
          ELSE FILTER(
            ARRAY(
              CASE
                WHEN b.blind7 & 1 > 0 AND CAST(0 AS BIGINT) & 2 = 0
                THEN 'access' || '.prompt'
              END,
              CASE WHEN b.blind7 & 2 > 0 THEN 'access' || '.user' END,
              CASE WHEN b.blind7 & 4 > 0 THEN 'access' || '.agent' END,
              CASE WHEN b.blind7 & 8 > 0 THEN 'access' || '.act' END,
              CASE WHEN b.blind7 & 16 > 0 THEN 'access' || '.scope' END,
              CASE WHEN b.blind7 & 32 > 0 THEN 'access' || '.required_scope' END,
              CASE WHEN b.blind7 & 64 > 0 THEN 'access' || '.audience' END,
              CASE
                WHEN b.blind7 & 128 > 0 AND CAST(0 AS BIGINT) & 16 = 0
                THEN 'access' || '.response'
              END,
              CASE WHEN b.blind7 & 256 > 0 THEN 'access' || '.arguments' END,
              CASE WHEN b.blind7 & 512 > 0 THEN 'access' || '.correlation' END,
              CASE WHEN b.blind7 & 1024 > 0 THEN 'access' || '.proxy' END,
              CASE WHEN b.blind7 & 2048 > 0 THEN 'access' || '.token' END,
              CASE WHEN b.blind7 & 4096 > 0 THEN 'access' || '.token_hash' END,
              CASE WHEN b.blind7 & 8192 > 0 THEN 'access' || '.expiry' END,
              CASE WHEN b.blind7 & 16384 > 0 THEN 'access' || '.client' END,
              CASE WHEN b.blind7 & 32768 > 0 THEN 'access' || '.tool' END,
              CASE WHEN b.blind7 & 65536 > 0 THEN 'access' || '.server' END,
              CASE WHEN b.blind7 & 131072 > 0 THEN 'access' || '.definition' END,
              CASE WHEN b.blind7 & 262144 > 0 THEN 'access' || '.decision' END,
              CASE WHEN b.blind7 & 524288 > 0 THEN 'access' || '.conversation' END,
              CASE WHEN b.blind7 & 1048576 > 0 THEN 'access' || '.auth' END,
              CASE WHEN b.blind7 & 2097152 > 0 THEN 'access' || '.exposure' END,
              CASE WHEN b.blind7 & 4194304 > 0 THEN 'access' || '.address' END,
              CASE WHEN b.blind7 & 8388608 > 0 THEN 'access' || '.outcome' END,
              CASE WHEN b.blind7 & 16777216 > 0 THEN 'access' || '.actor' END,
              CASE WHEN b.blind7 & 33554432 > 0 THEN 'access' || '.resource' END,
              CASE WHEN b.blind7 & 67108864 > 0 THEN 'access' || '.consent' END
            ),
            pair_1 -> NOT pair_1 IS NULL
          )
        END
      ),
      (
        CASE
          WHEN COALESCE(b.blind8, 0) = 0
          THEN ARRAY()
          ELSE FILTER(
            ARRAY(
              CASE
                WHEN b.blind8 & 1 > 0 AND CAST(0 AS BIGINT) & 2 = 0
                THEN 'change' || '.prompt'
              END,
              CASE WHEN b.blind8 & 2 > 0 THEN 'change' || '.user' END,
              CASE WHEN b.blind8 & 4 > 0 THEN 'change' || '.agent' END,
              CASE WHEN b.blind8 & 8 > 0 THEN 'change' || '.act' END,
              CASE WHEN b.blind8 & 16 > 0 THEN 'change' || '.scope' END,
              CASE WHEN b.blind8 & 32 > 0 THEN 'change' || '.required_scope' END,
              CASE WHEN b.blind8 & 64 > 0 THEN 'change' || '.audience' END,
              CASE
                WHEN b.blind8 & 128 > 0 AND CAST(0 AS BIGINT) & 16 = 0
                THEN 'change' || '.response'
              END,
              CASE WHEN b.blind8 & 256 > 0 THEN 'change' || '.arguments' END,
              CASE WHEN b.blind8 & 512 > 0 THEN 'change' || '.correlation' END,
              CASE WHEN b.blind8 & 1024 > 0 THEN 'change' || '.proxy' END,
              CASE WHEN b.blind8 & 2048 > 0 THEN 'change' || '.token' END,
              CASE WHEN b.blind8 & 4096 > 0 THEN 'change' || '.token_hash' END,
              CASE WHEN b.blind8 & 8192 > 0 THEN 'change' || '.expiry' END,
              CASE WHEN b.blind8 & 16384 > 0 THEN 'change' || '.client' END,
              CASE WHEN b.blind8 & 32768 > 0 THEN 'change' || '.tool' END,
              CASE WHEN b.blind8 & 65536 > 0 THEN 'change' || '.server' END,
              CASE WHEN b.blind8 & 131072 > 0 THEN 'change' || '.definition' END,
              CASE WHEN b.blind8 & 262144 > 0 THEN 'change' || '.decision' END,
              CASE WHEN b.blind8 & 524288 > 0 THEN 'change' || '.conversation' END,
              CASE WHEN b.blind8 & 1048576 > 0 THEN 'change' || '.auth' END,
              CASE WHEN b.blind8 & 2097152 > 0 THEN 'change' || '.exposure' END,
              CASE WHEN b.blind8 & 4194304 > 0 THEN 'change' || '.address' END,
              CASE WHEN b.blind8 & 8388608 > 0 THEN 'change' || '.outcome' END,
              CASE WHEN b.blind8 & 16777216 > 0 THEN 'change' || '.actor' END,
              CASE WHEN b.blind8 & 33554432 > 0 THEN 'change' || '.resource' END,
              CASE WHEN b.blind8 & 67108864 > 0 THEN 'change' || '.consent' END
            ),
            pair_0 -> NOT pair_0 IS NULL
          )
        END
      )
    )
  ) AS blind
FROM (
  SELECT
    *
  FROM chain_base
  WHERE
    TRUE
) AS b
LEFT JOIN (
  SELECT
    *
  FROM soft_prompt
  WHERE
    TRUE
) AS soft_prompt
  USING (chain)
LEFT JOIN (
  SELECT
    *
  FROM answer
  WHERE
    TRUE
) AS answer
  USING (chain)
LEFT JOIN (
  SELECT
    *
  FROM access_facts
  WHERE
    TRUE
) AS af
  USING (chain)
LEFT JOIN (
  SELECT
    *
  FROM changed
  WHERE
    TRUE
) AS changed
  USING (chain)
LEFT JOIN (
  SELECT
    *
  FROM conflict
  WHERE
    TRUE
) AS conflict
  USING (chain)
LEFT JOIN (
  SELECT
    *
  FROM dropped
  WHERE
    TRUE
) AS dropped
  USING (chain)
LEFT JOIN (
  SELECT
    *
  FROM expected
  WHERE
    TRUE
) AS expected
  USING (chain)
LEFT JOIN (
  SELECT
    *
  FROM handed_on
  WHERE
    TRUE
) AS handed_on
  USING (chain)
LEFT JOIN (
  SELECT
    *
  FROM shared
  WHERE
    TRUE
) AS shared
  USING (chain)
LEFT JOIN (
  SELECT
    chain,
    BOOL_AND(backed) AS all_backed,
    BOOL_OR(human AND backed) AS human
  FROM calls
  WHERE
    TRUE
  GROUP BY
    chain
) AS backing
  USING (chain);

CREATE OR REPLACE TABLE countersign_chains AS
WITH words AS (
  SELECT link.chain,
    min_by(CASE link.kind WHEN 'prompt' THEN facts.`chain.prompt.id` WHEN 'trace' THEN facts.`trace.id` WHEN 'transaction' THEN facts.`transaction.id` WHEN 'tool_call' THEN facts.`gen_ai.tool.call.id` END, struct(link.ts, link.identity))
      FILTER (WHERE link.p = link.chain OR link.t = link.chain OR link.x = link.chain OR link.c = link.chain) AS id,
    nullif(array_sort(collect_set(coalesce(`user.key`, `user.email`, `user.id`, `user.name`))), CAST(array() AS ARRAY<STRING>)) AS `chain.users`,
    nullif(array_sort(collect_set(facts.`user.effective.id`)), CAST(array() AS ARRAY<STRING>)) AS `chain.effective_users`,
    nullif(array_sort(collect_set(facts.`gen_ai.agent.id`)), CAST(array() AS ARRAY<STRING>)) AS `chain.agents`,
    nullif(array_sort(collect_set(facts.`mcp.server.name`)), CAST(array() AS ARRAY<STRING>)) AS `chain.servers`,
    nullif(array_sort(collect_set(facts.`mcp.server.party`)), CAST(array() AS ARRAY<STRING>)) AS `chain.parties`,
    nullif(array_sort(collect_set(facts.`gen_ai.tool.name`)), CAST(array() AS ARRAY<STRING>)) AS `chain.tools`,
    nullif(array_sort(collect_set(facts.`service.target.name`)), CAST(array() AS ARRAY<STRING>)) AS `chain.systems`,
    nullif(array_sort(array_distinct(flatten(collect_list(facts.`oauth.scope.presented`)))), CAST(array() AS ARRAY<STRING>)) AS `chain.scopes`,
    nullif(array_sort(collect_set(facts.`chain.resource.classification`)), CAST(array() AS ARRAY<STRING>)) AS `chain.classifications`,
    nullif(array_sort(collect_set(facts.`chain.prompt.origin`)), CAST(array() AS ARRAY<STRING>)) AS `chain.prompt_origins`
  FROM link JOIN countersign_events facts ON facts.rid = link.rid GROUP BY link.chain),
told AS (
  SELECT chains.* EXCEPT (blind), words.* EXCEPT (chain, id), coalesce(words.id, 'record:' || lower(hex(chains.chain))) AS id,
    CASE WHEN array_size(blind) > 0 THEN blind END AS `chain.blind`
  FROM chains JOIN words ON words.chain = chains.chain)
-- one text may name several chains: idle too long between, or ids of two kinds that look alike
SELECT * EXCEPT (id), CASE WHEN row_number() OVER (PARTITION BY id ORDER BY `chain.start`, chain) > 1
  THEN id || '@' || date_format(timestamp_micros(`chain.start`), "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'") ELSE id END AS `chain.id`
FROM told;
