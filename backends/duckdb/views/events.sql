-- The event view: one row a record, every derived fact beside the fields that the source sent.
-- Reads `flat` (absence normalised: null, "" and [] are NULL; times are microseconds) and the register's tables.
-- A fact is NULL where what it needs is not known. Missing is not false.
WITH placed AS (   -- who acts: an identity that the register calls a service is not the human principal
  SELECT flat.*,
    lower("chain.stage") AS stage,
    service.identity IS NOT NULL AS moved,
    CASE WHEN service.identity IS NULL THEN "user.id" END AS user_id,
    CASE WHEN service.identity IS NULL THEN "user.name" END AS user_name,
    CASE WHEN service.identity IS NULL THEN "user.email" END AS user_email,
    coalesce("user.effective.id", CASE WHEN service.identity IS NOT NULL THEN "user.id" END) AS effective_id,
    coalesce("user.effective.name", CASE WHEN service.identity IS NOT NULL THEN "user.name" END) AS effective_name,
    service.kind AS service_kind, service.agent AS service_agent
  FROM flat LEFT JOIN reg_services service ON service.identity = lower("user.id")
), known AS (
  SELECT placed.*,
    effective.kind AS effective_kind, effective.agent AS effective_agent,
    client.id IS NOT NULL AS client_known, client.kind AS client_kind, client.trusted AS client_trusted,
    client.first_seen AS client_first_seen, client.agent AS client_agent,
    owner.mode AS agent_mode, owner.tools AS agent_tools, owner.max_token_lifetime_sec AS agent_limit,
    server.name IS NOT NULL AS server_known, server.party, server.approval, server.review_expires, server.revoked_at,
    server.regions, server.uri AS server_uri, server.address AS server_address, server.tls_sha256,
    server.scopes_offered, server.min_protocol,
    coalesce(tool.risk, any_tool.risk) AS tool_risk, coalesce(tool.definition_hash, any_tool.definition_hash) AS approved_hash,
    coalesce(tool.required_scopes, any_tool.required_scopes) AS tool_scopes,
    coalesce(tool.identity_arguments, any_tool.identity_arguments) AS identity_arguments,
    agent.service_identities AS agent_identities, agent.client_ids AS agent_clients,
    getvariable('agent_of_client')[lower("oauth.client.id")] AS client_owner,
    coalesce(never_stage.concepts, []) AS never, never_stage.bits AS blind_bits,
    coalesce(issued.person, anywhere.person, mailed.person) AS person,
    CASE WHEN getvariable('has_networks') THEN countersign_address("source.ip") END AS address
  FROM placed
  LEFT JOIN reg_services effective ON effective.identity = lower(effective_id)
  LEFT JOIN reg_clients client ON client.id = lower("oauth.client.id")
  LEFT JOIN reg_agents agent ON agent.id = lower("gen_ai.agent.id")
  -- a downstream log may know the identity and not the agent, an authorization server only the client
  LEFT JOIN reg_agents owner
    ON owner.id = coalesce(lower("gen_ai.agent.id"), effective.agent, getvariable('agent_of_client')[lower("oauth.client.id")])
  LEFT JOIN reg_servers server ON server.name = lower("mcp.server.name")
  LEFT JOIN reg_tools tool ON tool.server = lower("mcp.server.name") AND tool.name = lower("gen_ai.tool.name")
  LEFT JOIN reg_tools any_tool ON any_tool.server = '*' AND any_tool.name = lower("gen_ai.tool.name")
  LEFT JOIN reg_people issued ON issued.alias = "oauth.token.issuer" || '|' || user_id
  LEFT JOIN reg_people anywhere ON anywhere.alias = '|' || lower(user_id)
  LEFT JOIN reg_people mailed ON mailed.alias = lower(user_email)
  LEFT JOIN source_never never_stage ON never_stage.dataset = coalesce("event.dataset", 'countersign') AND never_stage.stage = placed.stage
), facts AS (
  SELECT known.*,
    never AS blind,
    -- RFC 6749 §3.3: scopes are presented by the token, required by the operation
    coalesce("oauth.scope.required", tool_scopes) AS required,
    coalesce("oauth.scope.presented", "oauth.scope.granted") AS held,
    CASE WHEN stage = 'token' AND lower("event.action") = 'reject' THEN false
         WHEN "http.response.status_code" IN (401, 403) OR "oauth.challenge.error" IS NOT NULL THEN false
         WHEN stage = 'token' THEN NULL
         WHEN lower("event.outcome") = 'success' THEN true
         WHEN lower("event.outcome") = 'failure'
              AND ("chain.response.hash" IS NOT NULL OR "http.response.status_code" BETWEEN 200 AND 299) THEN true
         END AS accepted,
    -- the register's word on a tool first; hints are the server's own and may only raise the risk
    CASE WHEN tool_risk IN ('destructive', 'admin') THEN tool_risk
         WHEN "mcp.tool.annotations.destructive" THEN 'destructive'
         WHEN tool_risk = 'write' THEN 'write'
         WHEN NOT "mcp.tool.annotations.read_only" THEN 'write'
         WHEN tool_risk IS NOT NULL THEN tool_risk
         WHEN "mcp.tool.annotations.read_only" THEN 'read' END AS risk,
    coalesce("oauth.token.expires_in", ("oauth.token.expires_at" - "oauth.token.issued_at") / 1e6) AS lifetime,
    coalesce(person, lower(user_email), "oauth.token.issuer" || '|' || user_id) AS key,
    CASE WHEN effective_id IS NOT NULL AND effective_kind IS NOT NULL THEN effective_kind END AS acting_service,
    coalesce(client_kind, CASE WHEN moved THEN service_kind END, effective_kind,
             CASE WHEN person IS NOT NULL THEN 'human' END) AS register_kind,
    CASE WHEN getvariable('has_servers') AND "mcp.server.name" IS NOT NULL THEN
      CASE WHEN NOT server_known THEN 'unregistered'
           WHEN revoked_at <= "@timestamp" THEN 'revoked'
           WHEN approval = 'approved' AND review_expires < "@timestamp" THEN 'expired'
           ELSE approval END END AS server_approval
  FROM known
), arguments AS (
  SELECT facts.*,
    concat_ws(' ', "chain.prompt.id", "trace.id", "span.id", "span.parent_id", "transaction.id", "http.request.id",
      "gen_ai.conversation.id", "gen_ai.tool.call.id", "jsonrpc.request.id") AS ids,
    CASE WHEN "gen_ai.tool.call.arguments" IS NOT NULL AND "gen_ai.tool.call.arguments" LIKE '{%'
      AND (regexp_matches("gen_ai.tool.call.arguments", 'on_behalf_of|act_as|run_as|impersonate|acting_user|user_id|userId|username|requester|\\u00')
           OR identity_arguments IS NOT NULL)
    THEN countersign_absent(countersign_named("gen_ai.tool.call.arguments",
      list_concat(['on_behalf_of', 'act_as', 'run_as', 'impersonate', 'acting_user'],
        list_concat(coalesce(identity_arguments, []),
          CASE WHEN risk IN ('write', 'destructive', 'admin') AND user_id IS NULL AND user_name IS NULL AND user_email IS NULL
               THEN ['user_id', 'userId', 'username', 'requester'] ELSE [] END)))) END AS argument_user
  FROM facts
), named AS (
  SELECT arguments.*, identities.names AS names_of_person,
    CASE WHEN argument_user IS NOT NULL THEN countersign_absent(countersign_named("gen_ai.tool.call.arguments",
      list_concat(['on_behalf_of', 'act_as', 'run_as', 'impersonate', 'acting_user'], coalesce(identity_arguments, [])))) IS NOT NULL
      END AS argument_explicit
  FROM arguments LEFT JOIN reg_identities identities ON identities.person = CASE WHEN argument_user IS NOT NULL THEN key END
)
SELECT named.* EXCLUDE ("user.id", "user.name", "user.email", "user.domain", "user.roles", "user.effective.id", "user.effective.name"),
  user_id AS "user.id", user_name AS "user.name", user_email AS "user.email",
  CASE WHEN NOT moved THEN "user.domain" END AS "user.domain", CASE WHEN NOT moved THEN "user.roles" END AS "user.roles",
  effective_id AS "user.effective.id", effective_name AS "user.effective.name",
  key AS "user.key",
  CASE WHEN person IS NOT NULL THEN 'person' WHEN user_email IS NOT NULL THEN 'email'
       WHEN key IS NOT NULL THEN 'sub ' || "oauth.token.issuer" END AS key_kind,
  CASE WHEN len(blind) > 0 THEN blind END AS "event.blind",
  NULL::BOOLEAN AS "event.sequence_gap", NULL::BOOLEAN AS "event.hash_broken",
  NULL::VARCHAR AS "chain.id", NULL::VARCHAR AS "chain.id_source",
  stage = 'tool_call' AND ("chain.prompt.id" IS NOT NULL OR "chain.prompt.hash" IS NOT NULL)
    AND "chain.response.hash" IS NOT NULL AND lower("event.outcome") IN ('success', 'failure') AS "chain.record_complete",
  CASE WHEN countersign_hostile(ids) THEN 'hostile'
       -- all zeros: W3C Trace Context §3.2.2.3 and §3.2.2.4; the nil UUID is a vendor's
       WHEN countersign_zeros("trace.id") OR countersign_zeros("span.id") OR countersign_nil("transaction.id") OR countersign_nil("http.request.id") THEN 'all_zero'
       WHEN NOT countersign_trace_form("trace.id") THEN 'malformed' END AS "chain.correlation.flaw",
  agent_mode AS "chain.agent.mode",
  -- the identity that acts says more than the client that asked; the client decides where no identity is recorded
  CASE WHEN effective_agent IS NOT NULL THEN coalesce(effective_agent = lower("gen_ai.agent.id"), true)
       WHEN effective_id IS NOT NULL AND agent_identities IS NOT NULL THEN false
       WHEN client_owner IS NOT NULL THEN coalesce(client_owner = lower("gen_ai.agent.id"), true)
       WHEN "oauth.client.id" IS NOT NULL AND agent_clients IS NOT NULL THEN false END AS "chain.agent.identity_registered",
  coalesce(lower("chain.actor.recorded_type"), register_kind) AS "chain.actor.type",
  lower("chain.actor.recorded_type") <> register_kind AS "chain.actor.contradicts",
  CASE WHEN list_position(['plan', 'default', 'acceptedits', 'bypasspermissions'], lower("chain.permission_mode.from")) > 0
        AND list_position(['plan', 'default', 'acceptedits', 'bypasspermissions'], lower("chain.permission_mode.to")) > 0
       THEN list_position(['plan', 'default', 'acceptedits', 'bypasspermissions'], lower("chain.permission_mode.from"))
          < list_position(['plan', 'default', 'acceptedits', 'bypasspermissions'], lower("chain.permission_mode.to"))
       END AS "chain.permission_mode.loosened",
  -- what an API key's record says of the key is no fact of OAuth
  coalesce("oauth.client.id", "oauth.grant_type", "oauth.resource", "oauth.token.issuer") IS NOT NULL
    OR "oauth.token.audience" IS NOT NULL OR "oauth.scope.granted" IS NOT NULL OR "oauth.scope.presented" IS NOT NULL
    OR "oauth.scope.required" IS NOT NULL
    OR (coalesce("oauth.token.id", "oauth.token.hash", "oauth.token.type") IS NOT NULL
        AND coalesce(lower("oauth.token.type"), '') <> 'api_key') AS "oauth.used",
  CASE WHEN client_known THEN client_trusted
       WHEN getvariable('has_clients') AND "oauth.client.id" IS NOT NULL
       THEN coalesce(list_contains(getvariable('domains'), regexp_extract(lower("oauth.client.id"), '^https://([a-z0-9.-]+)(:\d+)?(/|$)', 1)), false)
       END AS "oauth.client.trusted",
  client_first_seen AS "oauth.client.first_seen",
  CASE WHEN lower("oauth.act.sub") <> lower("oauth.may_act.sub") THEN false
       WHEN "oauth.act.iss" <> "oauth.may_act.iss" THEN false
       WHEN "oauth.act.sub" IS NOT NULL AND "oauth.may_act.sub" IS NOT NULL THEN true END AS "oauth.act.permitted",
  "oauth.token.hash" = "oauth.token.downstream_hash" AS "oauth.token.forwarded",
  lower("oauth.token.client_id") = lower("oauth.client.id") AS "oauth.token.client_match",
  -- RFC 8707 / RFC 9068 §4: the audience must name this server, by its name or a URI of its own: the one that was called, or
  -- the registered one behind a gateway; a URI and a name can't be compared
  CASE WHEN "oauth.token.audience" IS NULL THEN NULL
       WHEN len(list_filter("oauth.token.audience", lambda a: lower(a) = lower("mcp.server.name")
              OR countersign_uri(a) IN (countersign_uri("mcp.server.uri"), countersign_uri(server_uri)))) > 0 THEN true
       WHEN len(list_filter("oauth.token.audience", lambda a: CASE WHEN contains(a, '://')
              THEN coalesce("mcp.server.uri", server_uri) IS NULL ELSE "mcp.server.name" IS NULL END)) > 0 THEN NULL
       ELSE false END AS "oauth.token.audience_match",
  lifetime AS "oauth.token.lifetime_sec",
  accepted AS "oauth.token.accepted",
  "@timestamp" > "oauth.token.expires_at" + 60000000 AS "oauth.token.expired",
  lifetime > coalesce(agent_limit, 7200) AS "oauth.token.over_limit",
  CASE WHEN "oauth.scope.granted" IS NULL THEN countersign_system_wide("oauth.scope.presented", "service.target.name", "mcp.server.name")
       WHEN "oauth.scope.presented" IS NULL OR "oauth.scope.presented" = "oauth.scope.granted"
       THEN countersign_system_wide("oauth.scope.granted", "service.target.name", "mcp.server.name")
       ELSE countersign_system_wide(list_concat("oauth.scope.granted", "oauth.scope.presented"), "service.target.name", "mcp.server.name")
       END AS "oauth.scope.system_wide",
  CASE WHEN "oauth.scope.presented" IS NULL OR required IS NULL OR "oauth.scope.presented" = required THEN NULL
       ELSE countersign_absent(list_distinct(countersign_uncovered(required, "oauth.scope.presented"))) END AS "oauth.scope.missing",
  CASE WHEN "oauth.scope.presented" IS NULL OR required IS NULL THEN NULL
       WHEN "oauth.scope.presented" = required THEN 0
       ELSE len(list_distinct(countersign_uncovered(required, "oauth.scope.presented"))) END AS "oauth.scope.missing_count",
  CASE WHEN "oauth.scope.presented" IS NULL OR required IS NULL OR "oauth.scope.presented" = required THEN NULL
       ELSE countersign_absent(list_distinct(list_filter("oauth.scope.presented",
              lambda p: NOT list_contains(list_transform(required, lambda r: lower(r)), lower(p))))) END AS "oauth.scope.excess",
  CASE WHEN "oauth.scope.presented" IS NULL OR required IS NULL THEN NULL
       WHEN "oauth.scope.presented" = required THEN 0
       ELSE len(list_distinct(list_filter("oauth.scope.presented",
              lambda p: NOT list_contains(list_transform(required, lambda r: lower(r)), lower(p))))) END AS "oauth.scope.excess_count",
  -- .default asks for whatever was consented before
  CASE WHEN "oauth.scope.granted" IS NOT NULL AND "oauth.scope.requested" IS NOT NULL
         AND len(list_filter("oauth.scope.requested", lambda r: countersign_scope_name(r) = '.default')) = 0
       THEN len(countersign_beyond("oauth.scope.granted", "oauth.scope.requested")) > 0 END AS "oauth.scope.beyond_request",
  CASE WHEN "oauth.scope.granted" IS NOT NULL AND scopes_offered IS NOT NULL
       THEN len(countersign_uncovered(scopes_offered, "oauth.scope.granted")) = 0 END AS "oauth.scope.all_offered",
  countersign_risk_of(coalesce("oauth.scope.granted", "oauth.scope.presented")) AS "oauth.scope.risk",
  "oauth.response_iss" = "oauth.issuer.expected" AS "oauth.issuer.match",
  "mcp.protocol.version" < min_protocol AS "mcp.protocol.downgraded",
  argument_user AS "mcp.tool.argument_user",
  argument_explicit AS "mcp.tool.argument_user_explicit",
  CASE WHEN argument_user IS NOT NULL AND coalesce(user_id, user_name, user_email) IS NOT NULL
       THEN len(list_filter(argument_user, lambda a: NOT coalesce(lower(a) IN (lower(user_id), lower(user_name), lower(user_email)), false)
              AND NOT coalesce(lower(a) = lower(key), false)
              AND NOT coalesce(list_contains(names_of_person, lower(a)), false))) = 0 END AS "mcp.tool.argument_user_match",
  approved_hash AS "mcp.tool.definition.approved_hash",
  lower("mcp.tool.definition.hash") <> lower(approved_hash) AS "mcp.tool.definition.changed",
  risk AS "mcp.tool.risk",
  CASE WHEN "gen_ai.tool.name" IS NULL OR (agent_tools IS NULL AND "chain.tools.granted" IS NULL) THEN NULL
       ELSE coalesce(list_contains(agent_tools, lower("gen_ai.tool.name")), false)
         OR coalesce(list_contains(list_transform("chain.tools.granted", lambda g: lower(g)), lower("gen_ai.tool.name")), false)
       END AS "mcp.tool.granted",
  CASE WHEN getvariable('has_servers') AND "mcp.server.name" IS NOT NULL THEN coalesce(party, 'unknown') END AS "mcp.server.party",
  server_approval AS "mcp.server.approval",
  review_expires AS "mcp.server.review_expires",
  regions AS "mcp.server.regions",
  CASE WHEN regions IS NOT NULL THEN countersign_region_allowed(countersign_places(regions, "chain.resource.classification"),
    lower("cloud.region"), lower("server.geo.country_iso_code")) END AS "mcp.server.region_allowed",
  CASE WHEN countersign_uri("mcp.server.uri") <> countersign_uri(server_uri) OR lower("server.address") <> lower(server_address)
         OR lower("tls.server.hash.sha256") <> lower(tls_sha256) THEN true
       WHEN ("mcp.server.uri" IS NOT NULL AND server_uri IS NOT NULL) OR ("server.address" IS NOT NULL AND server_address IS NOT NULL)
         OR ("tls.server.hash.sha256" IS NOT NULL AND tls_sha256 IS NOT NULL) THEN false END AS "mcp.server.changed",
  CASE WHEN "mcp.header.method" <> "mcp.method.name" OR "mcp.header.name" <> coalesce("gen_ai.tool.name", "mcp.resource.uri") THEN false
       WHEN ("mcp.header.method" IS NOT NULL AND "mcp.method.name" IS NOT NULL)
         OR ("mcp.header.name" IS NOT NULL AND coalesce("gen_ai.tool.name", "mcp.resource.uri") IS NOT NULL) THEN true END AS "mcp.header.match",
  CASE WHEN address IS NOT NULL THEN NOT countersign_own(address) END AS "source.public"
FROM named
