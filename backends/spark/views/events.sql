-- The event view: one row a record, every derived fact beside the fields that the source sent.
CREATE OR REPLACE TABLE countersign_events AS
WITH read AS (SELECT countersign_records.* EXCEPT (`@timestamp`, `event.id`, `event.action`, `event.code`, `event.provider`, `event.dataset`, `event.reason`, `event.outcome`, `event.duration`, `event.sequence`, `event.hash`, `event.previous_hash`, `chain.stage`, `chain.prompt.id`, `chain.prompt.hash`, `chain.prompt.length`, `chain.prompt.text`, `chain.prompt.origin`, `chain.response.hash`, `chain.response.text`, `chain.agent.owner`, `chain.agent.parent_id`, `chain.agent.instance_id`, `chain.actor.recorded_type`, `chain.tools.granted`, `chain.via_proxy`, `chain.resource.id`, `chain.resource.type`, `chain.resource.classification`, `chain.operation`, `chain.cancelled`, `chain.permission_mode.from`, `chain.permission_mode.to`, `chain.setting.name`, `chain.setting.from`, `chain.setting.to`, `trace.id`, `span.id`, `span.parent_id`, `transaction.id`, `http.request.id`, `http.request.method`, `http.response.status_code`, `gen_ai.conversation.id`, `gen_ai.agent.id`, `gen_ai.agent.name`, `gen_ai.agent.version`, `gen_ai.provider.name`, `gen_ai.request.model`, `gen_ai.tool.name`, `gen_ai.tool.call.id`, `gen_ai.tool.call.arguments`, `gen_ai.tool.call.arguments_hash`, `user.id`, `user.name`, `user.email`, `user.domain`, `user.roles`, `user.effective.id`, `user.effective.name`, `oauth.client.id`, `oauth.client.name`, `oauth.client.type`, `oauth.client.registration`, `oauth.grant_type`, `oauth.subject_token_type`, `oauth.requested_token_type`, `oauth.issued_token_type`, `oauth.delegation.type`, `oauth.act.sub`, `oauth.act.chain`, `oauth.act.depth`, `oauth.act.present`, `oauth.act.iss`, `oauth.may_act.sub`, `oauth.may_act.iss`, `oauth.assertion.type`, `oauth.assertion.verified`, `oauth.assertion.expired`, `oauth.assertion.id`, `oauth.token.id`, `oauth.token.hash`, `oauth.token.parent_id`, `oauth.token.downstream_hash`, `oauth.token.client_id`, `oauth.token.type`, `oauth.token.issuer`, `oauth.token.audience`, `oauth.token.issued_at`, `oauth.token.expires_at`, `oauth.token.expires_in`, `oauth.token.binding`, `oauth.token.parent_binding`, `oauth.token.refresh_issued`, `oauth.resource`, `oauth.scope.requested`, `oauth.scope.granted`, `oauth.scope.presented`, `oauth.scope.required`, `oauth.consent.type`, `oauth.consent.id`, `oauth.redirect_uri`, `oauth.redirect_uri_match`, `oauth.pkce.method`, `oauth.state.result`, `oauth.response_iss`, `oauth.issuer.expected`, `oauth.challenge.error`, `oauth.challenge.scope`, `mcp.method.name`, `mcp.protocol.version`, `mcp.resource.uri`, `mcp.tool.decision`, `mcp.tool.decision_source`, `mcp.tool.definition.hash`, `mcp.tool.annotations.read_only`, `mcp.tool.annotations.destructive`, `mcp.tool.annotations.idempotent`, `mcp.tool.annotations.open_world`, `mcp.tool.result.bytes`, `mcp.server.name`, `mcp.server.id`, `mcp.server.uri`, `mcp.server.version`, `mcp.server.exposure`, `mcp.server.auth`, `mcp.server.config_scope`, `mcp.server.bind_address`, `mcp.header.method`, `mcp.header.name`, `mcp.origin.valid`, `mcp.client.name`, `mcp.client.version`, `mcp.task.id`, `mcp.task.status`, `mcp.elicitation.mode`, `mcp.elicitation.action`, `mcp.elicitation.url`, `mcp.elicitation.fields`, `jsonrpc.request.id`, `error.code`, `error.type`, `network.transport`, `server.address`, `server.geo.country_iso_code`, `tls.server.hash.sha256`, `observer.name`, `observer.product`, `observer.type`, `service.target.name`, `service.target.id`, `source.ip`, `source.as.number`, `source.geo.country_iso_code`, `destination.ip`, `cloud.region`, `url.full`, `url.query`, `url.scheme`, `user_agent.original`, `organization.id`, `process.command_line`),
  unix_micros(`@timestamp`) AS `@timestamp`,
  nullif(`event.id`, '') AS `event.id`,
  nullif(`event.action`, '') AS `event.action`,
  nullif(`event.code`, '') AS `event.code`,
  nullif(`event.provider`, '') AS `event.provider`,
  nullif(`event.dataset`, '') AS `event.dataset`,
  nullif(`event.reason`, '') AS `event.reason`,
  nullif(`event.outcome`, '') AS `event.outcome`,
  `event.duration` AS `event.duration`,
  `event.sequence` AS `event.sequence`,
  nullif(`event.hash`, '') AS `event.hash`,
  nullif(`event.previous_hash`, '') AS `event.previous_hash`,
  nullif(`chain.stage`, '') AS `chain.stage`,
  nullif(`chain.prompt.id`, '') AS `chain.prompt.id`,
  nullif(`chain.prompt.hash`, '') AS `chain.prompt.hash`,
  `chain.prompt.length` AS `chain.prompt.length`,
  nullif(`chain.prompt.text`, '') AS `chain.prompt.text`,
  nullif(`chain.prompt.origin`, '') AS `chain.prompt.origin`,
  nullif(`chain.response.hash`, '') AS `chain.response.hash`,
  nullif(`chain.response.text`, '') AS `chain.response.text`,
  nullif(`chain.agent.owner`, '') AS `chain.agent.owner`,
  nullif(`chain.agent.parent_id`, '') AS `chain.agent.parent_id`,
  nullif(`chain.agent.instance_id`, '') AS `chain.agent.instance_id`,
  nullif(`chain.actor.recorded_type`, '') AS `chain.actor.recorded_type`,
  CASE WHEN array_size(filter(`chain.tools.granted`, item -> item IS NOT NULL AND item <> '')) > 0 THEN filter(`chain.tools.granted`, item -> item IS NOT NULL AND item <> '') END AS `chain.tools.granted`,
  `chain.via_proxy` AS `chain.via_proxy`,
  nullif(`chain.resource.id`, '') AS `chain.resource.id`,
  nullif(`chain.resource.type`, '') AS `chain.resource.type`,
  nullif(`chain.resource.classification`, '') AS `chain.resource.classification`,
  nullif(`chain.operation`, '') AS `chain.operation`,
  `chain.cancelled` AS `chain.cancelled`,
  nullif(`chain.permission_mode.from`, '') AS `chain.permission_mode.from`,
  nullif(`chain.permission_mode.to`, '') AS `chain.permission_mode.to`,
  nullif(`chain.setting.name`, '') AS `chain.setting.name`,
  nullif(`chain.setting.from`, '') AS `chain.setting.from`,
  nullif(`chain.setting.to`, '') AS `chain.setting.to`,
  nullif(`trace.id`, '') AS `trace.id`,
  nullif(`span.id`, '') AS `span.id`,
  nullif(`span.parent_id`, '') AS `span.parent_id`,
  nullif(`transaction.id`, '') AS `transaction.id`,
  nullif(`http.request.id`, '') AS `http.request.id`,
  nullif(`http.request.method`, '') AS `http.request.method`,
  `http.response.status_code` AS `http.response.status_code`,
  nullif(`gen_ai.conversation.id`, '') AS `gen_ai.conversation.id`,
  nullif(`gen_ai.agent.id`, '') AS `gen_ai.agent.id`,
  nullif(`gen_ai.agent.name`, '') AS `gen_ai.agent.name`,
  nullif(`gen_ai.agent.version`, '') AS `gen_ai.agent.version`,
  nullif(`gen_ai.provider.name`, '') AS `gen_ai.provider.name`,
  nullif(`gen_ai.request.model`, '') AS `gen_ai.request.model`,
  nullif(`gen_ai.tool.name`, '') AS `gen_ai.tool.name`,
  nullif(`gen_ai.tool.call.id`, '') AS `gen_ai.tool.call.id`,
  nullif(`gen_ai.tool.call.arguments`, '') AS `gen_ai.tool.call.arguments`,
  nullif(`gen_ai.tool.call.arguments_hash`, '') AS `gen_ai.tool.call.arguments_hash`,
  nullif(`user.id`, '') AS `user.id`,
  nullif(`user.name`, '') AS `user.name`,
  nullif(`user.email`, '') AS `user.email`,
  nullif(`user.domain`, '') AS `user.domain`,
  CASE WHEN array_size(filter(`user.roles`, item -> item IS NOT NULL AND item <> '')) > 0 THEN filter(`user.roles`, item -> item IS NOT NULL AND item <> '') END AS `user.roles`,
  nullif(`user.effective.id`, '') AS `user.effective.id`,
  nullif(`user.effective.name`, '') AS `user.effective.name`,
  nullif(`oauth.client.id`, '') AS `oauth.client.id`,
  nullif(`oauth.client.name`, '') AS `oauth.client.name`,
  nullif(`oauth.client.type`, '') AS `oauth.client.type`,
  nullif(`oauth.client.registration`, '') AS `oauth.client.registration`,
  nullif(`oauth.grant_type`, '') AS `oauth.grant_type`,
  nullif(`oauth.subject_token_type`, '') AS `oauth.subject_token_type`,
  nullif(`oauth.requested_token_type`, '') AS `oauth.requested_token_type`,
  nullif(`oauth.issued_token_type`, '') AS `oauth.issued_token_type`,
  nullif(`oauth.delegation.type`, '') AS `oauth.delegation.type`,
  nullif(`oauth.act.sub`, '') AS `oauth.act.sub`,
  CASE WHEN array_size(filter(`oauth.act.chain`, item -> item IS NOT NULL AND item <> '')) > 0 THEN filter(`oauth.act.chain`, item -> item IS NOT NULL AND item <> '') END AS `oauth.act.chain`,
  `oauth.act.depth` AS `oauth.act.depth`,
  `oauth.act.present` AS `oauth.act.present`,
  nullif(`oauth.act.iss`, '') AS `oauth.act.iss`,
  nullif(`oauth.may_act.sub`, '') AS `oauth.may_act.sub`,
  nullif(`oauth.may_act.iss`, '') AS `oauth.may_act.iss`,
  nullif(`oauth.assertion.type`, '') AS `oauth.assertion.type`,
  `oauth.assertion.verified` AS `oauth.assertion.verified`,
  `oauth.assertion.expired` AS `oauth.assertion.expired`,
  nullif(`oauth.assertion.id`, '') AS `oauth.assertion.id`,
  nullif(`oauth.token.id`, '') AS `oauth.token.id`,
  nullif(`oauth.token.hash`, '') AS `oauth.token.hash`,
  nullif(`oauth.token.parent_id`, '') AS `oauth.token.parent_id`,
  nullif(`oauth.token.downstream_hash`, '') AS `oauth.token.downstream_hash`,
  nullif(`oauth.token.client_id`, '') AS `oauth.token.client_id`,
  nullif(`oauth.token.type`, '') AS `oauth.token.type`,
  nullif(`oauth.token.issuer`, '') AS `oauth.token.issuer`,
  CASE WHEN array_size(filter(`oauth.token.audience`, item -> item IS NOT NULL AND item <> '')) > 0 THEN filter(`oauth.token.audience`, item -> item IS NOT NULL AND item <> '') END AS `oauth.token.audience`,
  unix_micros(`oauth.token.issued_at`) AS `oauth.token.issued_at`,
  unix_micros(`oauth.token.expires_at`) AS `oauth.token.expires_at`,
  `oauth.token.expires_in` AS `oauth.token.expires_in`,
  nullif(`oauth.token.binding`, '') AS `oauth.token.binding`,
  nullif(`oauth.token.parent_binding`, '') AS `oauth.token.parent_binding`,
  `oauth.token.refresh_issued` AS `oauth.token.refresh_issued`,
  nullif(`oauth.resource`, '') AS `oauth.resource`,
  CASE WHEN array_size(filter(`oauth.scope.requested`, item -> item IS NOT NULL AND item <> '')) > 0 THEN filter(`oauth.scope.requested`, item -> item IS NOT NULL AND item <> '') END AS `oauth.scope.requested`,
  CASE WHEN array_size(filter(`oauth.scope.granted`, item -> item IS NOT NULL AND item <> '')) > 0 THEN filter(`oauth.scope.granted`, item -> item IS NOT NULL AND item <> '') END AS `oauth.scope.granted`,
  CASE WHEN array_size(filter(`oauth.scope.presented`, item -> item IS NOT NULL AND item <> '')) > 0 THEN filter(`oauth.scope.presented`, item -> item IS NOT NULL AND item <> '') END AS `oauth.scope.presented`,
  CASE WHEN array_size(filter(`oauth.scope.required`, item -> item IS NOT NULL AND item <> '')) > 0 THEN filter(`oauth.scope.required`, item -> item IS NOT NULL AND item <> '') END AS `oauth.scope.required`,
  nullif(`oauth.consent.type`, '') AS `oauth.consent.type`,
  nullif(`oauth.consent.id`, '') AS `oauth.consent.id`,
  nullif(`oauth.redirect_uri`, '') AS `oauth.redirect_uri`,
  `oauth.redirect_uri_match` AS `oauth.redirect_uri_match`,
  nullif(`oauth.pkce.method`, '') AS `oauth.pkce.method`,
  nullif(`oauth.state.result`, '') AS `oauth.state.result`,
  nullif(`oauth.response_iss`, '') AS `oauth.response_iss`,
  nullif(`oauth.issuer.expected`, '') AS `oauth.issuer.expected`,
  nullif(`oauth.challenge.error`, '') AS `oauth.challenge.error`,
  CASE WHEN array_size(filter(`oauth.challenge.scope`, item -> item IS NOT NULL AND item <> '')) > 0 THEN filter(`oauth.challenge.scope`, item -> item IS NOT NULL AND item <> '') END AS `oauth.challenge.scope`,
  nullif(`mcp.method.name`, '') AS `mcp.method.name`,
  nullif(`mcp.protocol.version`, '') AS `mcp.protocol.version`,
  nullif(`mcp.resource.uri`, '') AS `mcp.resource.uri`,
  nullif(`mcp.tool.decision`, '') AS `mcp.tool.decision`,
  nullif(`mcp.tool.decision_source`, '') AS `mcp.tool.decision_source`,
  nullif(`mcp.tool.definition.hash`, '') AS `mcp.tool.definition.hash`,
  `mcp.tool.annotations.read_only` AS `mcp.tool.annotations.read_only`,
  `mcp.tool.annotations.destructive` AS `mcp.tool.annotations.destructive`,
  `mcp.tool.annotations.idempotent` AS `mcp.tool.annotations.idempotent`,
  `mcp.tool.annotations.open_world` AS `mcp.tool.annotations.open_world`,
  `mcp.tool.result.bytes` AS `mcp.tool.result.bytes`,
  nullif(`mcp.server.name`, '') AS `mcp.server.name`,
  nullif(`mcp.server.id`, '') AS `mcp.server.id`,
  nullif(`mcp.server.uri`, '') AS `mcp.server.uri`,
  nullif(`mcp.server.version`, '') AS `mcp.server.version`,
  nullif(`mcp.server.exposure`, '') AS `mcp.server.exposure`,
  nullif(`mcp.server.auth`, '') AS `mcp.server.auth`,
  nullif(`mcp.server.config_scope`, '') AS `mcp.server.config_scope`,
  nullif(`mcp.server.bind_address`, '') AS `mcp.server.bind_address`,
  nullif(`mcp.header.method`, '') AS `mcp.header.method`,
  nullif(`mcp.header.name`, '') AS `mcp.header.name`,
  `mcp.origin.valid` AS `mcp.origin.valid`,
  nullif(`mcp.client.name`, '') AS `mcp.client.name`,
  nullif(`mcp.client.version`, '') AS `mcp.client.version`,
  nullif(`mcp.task.id`, '') AS `mcp.task.id`,
  nullif(`mcp.task.status`, '') AS `mcp.task.status`,
  nullif(`mcp.elicitation.mode`, '') AS `mcp.elicitation.mode`,
  nullif(`mcp.elicitation.action`, '') AS `mcp.elicitation.action`,
  nullif(`mcp.elicitation.url`, '') AS `mcp.elicitation.url`,
  CASE WHEN array_size(filter(`mcp.elicitation.fields`, item -> item IS NOT NULL AND item <> '')) > 0 THEN filter(`mcp.elicitation.fields`, item -> item IS NOT NULL AND item <> '') END AS `mcp.elicitation.fields`,
  nullif(`jsonrpc.request.id`, '') AS `jsonrpc.request.id`,
  nullif(`error.code`, '') AS `error.code`,
  nullif(`error.type`, '') AS `error.type`,
  nullif(`network.transport`, '') AS `network.transport`,
  nullif(`server.address`, '') AS `server.address`,
  nullif(`server.geo.country_iso_code`, '') AS `server.geo.country_iso_code`,
  nullif(`tls.server.hash.sha256`, '') AS `tls.server.hash.sha256`,
  nullif(`observer.name`, '') AS `observer.name`,
  nullif(`observer.product`, '') AS `observer.product`,
  nullif(`observer.type`, '') AS `observer.type`,
  nullif(`service.target.name`, '') AS `service.target.name`,
  nullif(`service.target.id`, '') AS `service.target.id`,
  nullif(`source.ip`, '') AS `source.ip`,
  `source.as.number` AS `source.as.number`,
  nullif(`source.geo.country_iso_code`, '') AS `source.geo.country_iso_code`,
  nullif(`destination.ip`, '') AS `destination.ip`,
  nullif(`cloud.region`, '') AS `cloud.region`,
  nullif(`url.full`, '') AS `url.full`,
  nullif(`url.query`, '') AS `url.query`,
  nullif(`url.scheme`, '') AS `url.scheme`,
  nullif(`user_agent.original`, '') AS `user_agent.original`,
  nullif(`organization.id`, '') AS `organization.id`,
  nullif(`process.command_line`, '') AS `process.command_line`
  FROM countersign_records),
hashed AS (SELECT *, xxhash64(to_json(struct(`@timestamp`, `event.id`, `event.action`, `event.code`, `event.provider`, `event.dataset`, `event.reason`, `event.outcome`, `event.duration`, `event.sequence`, `event.hash`, `event.previous_hash`, `chain.stage`, `chain.prompt.id`, `chain.prompt.hash`, `chain.prompt.length`, `chain.prompt.text`, `chain.prompt.origin`, `chain.response.hash`, `chain.response.text`, `chain.agent.owner`, `chain.agent.parent_id`, `chain.agent.instance_id`, `chain.actor.recorded_type`, `chain.tools.granted`, `chain.via_proxy`, `chain.resource.id`, `chain.resource.type`, `chain.resource.classification`, `chain.operation`, `chain.cancelled`, `chain.permission_mode.from`, `chain.permission_mode.to`, `chain.setting.name`, `chain.setting.from`, `chain.setting.to`, `trace.id`, `span.id`, `span.parent_id`, `transaction.id`, `http.request.id`, `http.request.method`, `http.response.status_code`, `gen_ai.conversation.id`, `gen_ai.agent.id`, `gen_ai.agent.name`, `gen_ai.agent.version`, `gen_ai.provider.name`, `gen_ai.request.model`, `gen_ai.tool.name`, `gen_ai.tool.call.id`, `gen_ai.tool.call.arguments`, `gen_ai.tool.call.arguments_hash`, `user.id`, `user.name`, `user.email`, `user.domain`, `user.roles`, `user.effective.id`, `user.effective.name`, `oauth.client.id`, `oauth.client.name`, `oauth.client.type`, `oauth.client.registration`, `oauth.grant_type`, `oauth.subject_token_type`, `oauth.requested_token_type`, `oauth.issued_token_type`, `oauth.delegation.type`, `oauth.act.sub`, `oauth.act.chain`, `oauth.act.depth`, `oauth.act.present`, `oauth.act.iss`, `oauth.may_act.sub`, `oauth.may_act.iss`, `oauth.assertion.type`, `oauth.assertion.verified`, `oauth.assertion.expired`, `oauth.assertion.id`, `oauth.token.id`, `oauth.token.hash`, `oauth.token.parent_id`, `oauth.token.downstream_hash`, `oauth.token.client_id`, `oauth.token.type`, `oauth.token.issuer`, `oauth.token.audience`, `oauth.token.issued_at`, `oauth.token.expires_at`, `oauth.token.expires_in`, `oauth.token.binding`, `oauth.token.parent_binding`, `oauth.token.refresh_issued`, `oauth.resource`, `oauth.scope.requested`, `oauth.scope.granted`, `oauth.scope.presented`, `oauth.scope.required`, `oauth.consent.type`, `oauth.consent.id`, `oauth.redirect_uri`, `oauth.redirect_uri_match`, `oauth.pkce.method`, `oauth.state.result`, `oauth.response_iss`, `oauth.issuer.expected`, `oauth.challenge.error`, `oauth.challenge.scope`, `mcp.method.name`, `mcp.protocol.version`, `mcp.resource.uri`, `mcp.tool.decision`, `mcp.tool.decision_source`, `mcp.tool.definition.hash`, `mcp.tool.annotations.read_only`, `mcp.tool.annotations.destructive`, `mcp.tool.annotations.idempotent`, `mcp.tool.annotations.open_world`, `mcp.tool.result.bytes`, `mcp.server.name`, `mcp.server.id`, `mcp.server.uri`, `mcp.server.version`, `mcp.server.exposure`, `mcp.server.auth`, `mcp.server.config_scope`, `mcp.server.bind_address`, `mcp.header.method`, `mcp.header.name`, `mcp.origin.valid`, `mcp.client.name`, `mcp.client.version`, `mcp.task.id`, `mcp.task.status`, `mcp.elicitation.mode`, `mcp.elicitation.action`, `mcp.elicitation.url`, `mcp.elicitation.fields`, `jsonrpc.request.id`, `error.code`, `error.type`, `network.transport`, `server.address`, `server.geo.country_iso_code`, `tls.server.hash.sha256`, `observer.name`, `observer.product`, `observer.type`, `service.target.name`, `service.target.id`, `source.ip`, `source.as.number`, `source.geo.country_iso_code`, `destination.ip`, `cloud.region`, `url.full`, `url.query`, `url.scheme`, `user_agent.original`, `organization.id`, `process.command_line`))) AS line_hash FROM read),
-- a record that is delivered twice is one
flat AS (SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY line_hash ORDER BY line_hash) AS copy FROM hashed) WHERE copy = 1)
SELECT *, line_hash AS rid FROM (WITH placed AS (
  SELECT
    flat.*,
    LOWER(TRANSLATE(`chain.stage`, 'Σİ', 'σi')) AS stage,
    NOT service.identity IS NULL AS moved,
    CASE WHEN service.identity IS NULL THEN `user.id` END AS user_id,
    CASE WHEN service.identity IS NULL THEN `user.name` END AS user_name,
    CASE WHEN service.identity IS NULL THEN `user.email` END AS user_email,
    COALESCE(`user.effective.id`, CASE WHEN NOT service.identity IS NULL THEN `user.id` END) AS effective_id,
    COALESCE(`user.effective.name`, CASE WHEN NOT service.identity IS NULL THEN `user.name` END) AS effective_name,
    service.kind AS service_kind,
    service.agent AS service_agent
  FROM flat
  LEFT JOIN reg_services AS service
    ON service.identity = LOWER(TRANSLATE(`user.id`, 'Σİ', 'σi'))
), known AS (
  SELECT
    placed.*,
    effective.kind AS effective_kind,
    effective.agent AS effective_agent,
    NOT client.id IS NULL AS client_known,
    client.kind AS client_kind,
    client.trusted AS client_trusted,
    client.first_seen AS client_first_seen,
    client.agent AS client_agent,
    owner.mode AS agent_mode,
    owner.tools AS agent_tools,
    owner.max_token_lifetime_sec AS agent_limit,
    NOT server.name IS NULL AS server_known,
    server.party,
    server.approval,
    server.review_expires,
    server.revoked_at,
    server.regions,
    server.uri AS server_uri,
    server.address AS server_address,
    server.tls_sha256,
    server.scopes_offered,
    server.min_protocol,
    COALESCE(tool.risk, any_tool.risk) AS tool_risk,
    COALESCE(tool.definition_hash, any_tool.definition_hash) AS approved_hash,
    COALESCE(tool.required_scopes, any_tool.required_scopes) AS tool_scopes,
    COALESCE(tool.identity_arguments, any_tool.identity_arguments) AS identity_arguments,
    agent.service_identities AS agent_identities,
    agent.client_ids AS agent_clients,
    TRY_ELEMENT_AT(countersign_agent_of_client, LOWER(TRANSLATE(`oauth.client.id`, 'Σİ', 'σi'))) AS client_owner,
    COALESCE(never_stage.concepts, ARRAY()) AS never,
    never_stage.bits AS blind_bits,
    COALESCE(issued.person, anywhere.person, mailed.person) AS person,
    CASE
      WHEN countersign_has_networks
      THEN (
        CASE
          WHEN `source.ip` RLIKE '\\A(?:(?d)((25[0-5]|2[0-4]\\d|1?\\d?\\d)\\.){3}(25[0-5]|2[0-4]\\d|1?\\d?\\d))\\z'
          THEN '00000000000000000000ffff' || LPAD(
            LOWER(
              HEX(
                SHIFTLEFT(TRY_CAST(SPLIT_PART(`source.ip`, '.', 1) AS BIGINT), CAST(24 AS INT)) + SHIFTLEFT(TRY_CAST(SPLIT_PART(`source.ip`, '.', 2) AS BIGINT), CAST(16 AS INT)) + SHIFTLEFT(TRY_CAST(SPLIT_PART(`source.ip`, '.', 3) AS BIGINT), CAST(8 AS INT)) + TRY_CAST(SPLIT_PART(`source.ip`, '.', 4) AS BIGINT)
              )
            ),
            8,
            '0'
          )
          WHEN LOWER(TRANSLATE(`source.ip`, 'Σİ', 'σi')) RLIKE '\\A(?:(?d)[0-9a-f:]{2,39})\\z'
          THEN ARRAY_JOIN(
            (
              TRANSFORM(
                FILTER(
                  SPLIT(
                    TRY_ELEMENT_AT(SPLIT(LOWER(TRANSLATE(`source.ip`, 'Σİ', 'σi')), CONCAT('\\Q', '::', '\\E')), 1),
                    CONCAT('\\Q', ':', '\\E')
                  ),
                  g_13 -> g_13 <> ''
                ),
                g_12 -> LPAD(g_12, 4, '0')
              )
            ),
            ''
          ) || REPEAT(
            '0',
            32 - 4 * ARRAY_SIZE(
              (
                TRANSFORM(
                  FILTER(
                    SPLIT(
                      TRY_ELEMENT_AT(SPLIT(LOWER(TRANSLATE(`source.ip`, 'Σİ', 'σi')), CONCAT('\\Q', '::', '\\E')), 1),
                      CONCAT('\\Q', ':', '\\E')
                    ),
                    g_11 -> g_11 <> ''
                  ),
                  g_10 -> LPAD(g_10, 4, '0')
                )
              )
            ) - 4 * ARRAY_SIZE(
              (
                TRANSFORM(
                  FILTER(
                    SPLIT(
                      COALESCE(
                        TRY_ELEMENT_AT(SPLIT(LOWER(TRANSLATE(`source.ip`, 'Σİ', 'σi')), CONCAT('\\Q', '::', '\\E')), 2),
                        ''
                      ),
                      CONCAT('\\Q', ':', '\\E')
                    ),
                    g_9 -> g_9 <> ''
                  ),
                  g_8 -> LPAD(g_8, 4, '0')
                )
              )
            )
          ) || ARRAY_JOIN(
            (
              TRANSFORM(
                FILTER(
                  SPLIT(
                    COALESCE(
                      TRY_ELEMENT_AT(SPLIT(LOWER(TRANSLATE(`source.ip`, 'Σİ', 'σi')), CONCAT('\\Q', '::', '\\E')), 2),
                      ''
                    ),
                    CONCAT('\\Q', ':', '\\E')
                  ),
                  g_7 -> g_7 <> ''
                ),
                g_6 -> LPAD(g_6, 4, '0')
              )
            ),
            ''
          )
        END
      )
    END AS address
  FROM placed
  LEFT JOIN reg_services AS effective
    ON effective.identity = LOWER(TRANSLATE(effective_id, 'Σİ', 'σi'))
  LEFT JOIN reg_clients AS client
    ON client.id = LOWER(TRANSLATE(`oauth.client.id`, 'Σİ', 'σi'))
  LEFT JOIN reg_agents AS agent
    ON agent.id = LOWER(TRANSLATE(`gen_ai.agent.id`, 'Σİ', 'σi'))
  LEFT JOIN reg_agents AS owner
    ON owner.id = COALESCE(
      LOWER(TRANSLATE(`gen_ai.agent.id`, 'Σİ', 'σi')),
      effective.agent,
      TRY_ELEMENT_AT(countersign_agent_of_client, LOWER(TRANSLATE(`oauth.client.id`, 'Σİ', 'σi')))
    )
  LEFT JOIN reg_servers AS server
    ON server.name = LOWER(TRANSLATE(`mcp.server.name`, 'Σİ', 'σi'))
  LEFT JOIN reg_tools AS tool
    ON tool.server = LOWER(TRANSLATE(`mcp.server.name`, 'Σİ', 'σi'))
    AND tool.name = LOWER(TRANSLATE(`gen_ai.tool.name`, 'Σİ', 'σi'))
  LEFT JOIN reg_tools AS any_tool
    ON any_tool.server = '*'
    AND any_tool.name = LOWER(TRANSLATE(`gen_ai.tool.name`, 'Σİ', 'σi'))
  LEFT JOIN reg_people AS issued
    ON issued.alias = `oauth.token.issuer` || '|' || user_id
  LEFT JOIN reg_people AS anywhere
    ON anywhere.alias = '|' || LOWER(TRANSLATE(user_id, 'Σİ', 'σi'))
  LEFT JOIN reg_people AS mailed
    ON mailed.alias = LOWER(TRANSLATE(user_email, 'Σİ', 'σi'))
  LEFT JOIN source_never AS never_stage
    ON never_stage.dataset = COALESCE(`event.dataset`, 'countersign')
    AND never_stage.stage = placed.stage
), facts AS (
  SELECT
    known.*,
    never AS blind,
    COALESCE(`oauth.scope.required`, tool_scopes) AS required,
    COALESCE(`oauth.scope.presented`, `oauth.scope.granted`) AS held,
    CASE
      WHEN stage = 'token' AND LOWER(TRANSLATE(`event.action`, 'Σİ', 'σi')) = 'reject'
      THEN FALSE
      WHEN `http.response.status_code` IN (401, 403) OR NOT `oauth.challenge.error` IS NULL
      THEN FALSE
      WHEN stage = 'token'
      THEN NULL
      WHEN LOWER(TRANSLATE(`event.outcome`, 'Σİ', 'σi')) = 'success'
      THEN TRUE
      WHEN LOWER(TRANSLATE(`event.outcome`, 'Σİ', 'σi')) = 'failure'
      AND (
        NOT `chain.response.hash` IS NULL
        OR `http.response.status_code` BETWEEN 200 AND 299
      )
      THEN TRUE
    END AS accepted,
    CASE
      WHEN tool_risk IN ('destructive', 'admin')
      THEN tool_risk
      WHEN `mcp.tool.annotations.destructive`
      THEN 'destructive'
      WHEN tool_risk = 'write'
      THEN 'write'
      WHEN NOT `mcp.tool.annotations.read_only`
      THEN 'write'
      WHEN NOT tool_risk IS NULL
      THEN tool_risk
      WHEN `mcp.tool.annotations.read_only`
      THEN 'read'
    END AS risk,
    COALESCE(
      `oauth.token.expires_in`,
      (
        `oauth.token.expires_at` - `oauth.token.issued_at`
      ) / 1e6
    ) AS lifetime,
    COALESCE(
      person,
      LOWER(TRANSLATE(user_email, 'Σİ', 'σi')),
      `oauth.token.issuer` || '|' || user_id
    ) AS key,
    CASE
      WHEN NOT effective_id IS NULL AND NOT effective_kind IS NULL
      THEN effective_kind
    END AS acting_service,
    COALESCE(
      client_kind,
      CASE WHEN moved THEN service_kind END,
      effective_kind,
      CASE WHEN NOT person IS NULL THEN 'human' END
    ) AS register_kind,
    CASE
      WHEN countersign_has_servers AND NOT `mcp.server.name` IS NULL
      THEN CASE
        WHEN NOT server_known
        THEN 'unregistered'
        WHEN revoked_at <= `@timestamp`
        THEN 'revoked'
        WHEN approval = 'approved' AND review_expires < `@timestamp`
        THEN 'expired'
        ELSE approval
      END
    END AS server_approval
  FROM known
), arguments AS (
  SELECT
    facts.*,
    CONCAT_WS(
      ' ',
      `chain.prompt.id`,
      `trace.id`,
      `span.id`,
      `span.parent_id`,
      `transaction.id`,
      `http.request.id`,
      `gen_ai.conversation.id`,
      `gen_ai.tool.call.id`,
      `jsonrpc.request.id`
    ) AS ids,
    CASE
      WHEN NOT `gen_ai.tool.call.arguments` IS NULL
      AND `gen_ai.tool.call.arguments` LIKE '{%'
      AND (
        `gen_ai.tool.call.arguments` RLIKE '(?d)on_behalf_of|act_as|run_as|impersonate|acting_user|user_id|userId|username|requester|\\\\u00'
        OR NOT identity_arguments IS NULL
      )
      THEN (
        CASE
          WHEN ARRAY_SIZE(
            (
              ARRAY_DISTINCT(
                FILTER(
                  FLATTEN(
                    TRANSFORM(
                      CONCAT(
                        COALESCE(ARRAY('on_behalf_of', 'act_as', 'run_as', 'impersonate', 'acting_user'), ARRAY()),
                        COALESCE(
                          CONCAT(
                            COALESCE(COALESCE(identity_arguments, ARRAY()), ARRAY()),
                            COALESCE(
                              CASE
                                WHEN risk IN ('write', 'destructive', 'admin')
                                AND user_id IS NULL
                                AND user_name IS NULL
                                AND user_email IS NULL
                                THEN ARRAY('user_id', 'userId', 'username', 'requester')
                                ELSE ARRAY()
                              END,
                              ARRAY()
                            )
                          ),
                          ARRAY()
                        )
                      ),
                      k_4 -> TRANSFORM(
                        COALESCE(
                          REGEXP_EXTRACT_ALL(
                            TO_JSON(TRY_PARSE_JSON(`gen_ai.tool.call.arguments`)),
                            '"\\Q' || REPLACE(REPLACE(k_4, '\\', '\\\\'), '"', '\\"') || '\\E":("(?:[^"\\\\]|\\\\.)*")',
                            1
                          ),
                          ARRAY()
                        ),
                        v_5 -> GET_JSON_OBJECT('{"v":' || v_5 || '}', '$.v')
                      )
                    )
                  ),
                  v_3 -> v_3 <> ''
                )
              )
            )
          ) > 0
          THEN (
            ARRAY_DISTINCT(
              FILTER(
                FLATTEN(
                  TRANSFORM(
                    CONCAT(
                      COALESCE(ARRAY('on_behalf_of', 'act_as', 'run_as', 'impersonate', 'acting_user'), ARRAY()),
                      COALESCE(
                        CONCAT(
                          COALESCE(COALESCE(identity_arguments, ARRAY()), ARRAY()),
                          COALESCE(
                            CASE
                              WHEN risk IN ('write', 'destructive', 'admin')
                              AND user_id IS NULL
                              AND user_name IS NULL
                              AND user_email IS NULL
                              THEN ARRAY('user_id', 'userId', 'username', 'requester')
                              ELSE ARRAY()
                            END,
                            ARRAY()
                          )
                        ),
                        ARRAY()
                      )
                    ),
                    k_4 -> TRANSFORM(
                      COALESCE(
                        REGEXP_EXTRACT_ALL(
                          TO_JSON(TRY_PARSE_JSON(`gen_ai.tool.call.arguments`)),
                          '"\\Q' || REPLACE(REPLACE(k_4, '\\', '\\\\'), '"', '\\"') || '\\E":("(?:[^"\\\\]|\\\\.)*")',
                          1
                        ),
                        ARRAY()
                      ),
                      v_5 -> GET_JSON_OBJECT('{"v":' || v_5 || '}', '$.v')
                    )
                  )
                ),
                v_3 -> v_3 <> ''
              )
            )
          )
        END
      )
    END AS argument_user
  FROM facts
), named AS (
  SELECT
    arguments.*,
    identities.names AS names_of_person,
    CASE
      WHEN NOT argument_user IS NULL
      THEN NOT (
        CASE
          WHEN ARRAY_SIZE(
            (
              ARRAY_DISTINCT(
                FILTER(
                  FLATTEN(
                    TRANSFORM(
                      CONCAT(
                        COALESCE(ARRAY('on_behalf_of', 'act_as', 'run_as', 'impersonate', 'acting_user'), ARRAY()),
                        COALESCE(COALESCE(identity_arguments, ARRAY()), ARRAY())
                      ),
                      k_1 -> TRANSFORM(
                        COALESCE(
                          REGEXP_EXTRACT_ALL(
                            TO_JSON(TRY_PARSE_JSON(`gen_ai.tool.call.arguments`)),
                            '"\\Q' || REPLACE(REPLACE(k_1, '\\', '\\\\'), '"', '\\"') || '\\E":("(?:[^"\\\\]|\\\\.)*")',
                            1
                          ),
                          ARRAY()
                        ),
                        v_2 -> GET_JSON_OBJECT('{"v":' || v_2 || '}', '$.v')
                      )
                    )
                  ),
                  v_0 -> v_0 <> ''
                )
              )
            )
          ) > 0
          THEN (
            ARRAY_DISTINCT(
              FILTER(
                FLATTEN(
                  TRANSFORM(
                    CONCAT(
                      COALESCE(ARRAY('on_behalf_of', 'act_as', 'run_as', 'impersonate', 'acting_user'), ARRAY()),
                      COALESCE(COALESCE(identity_arguments, ARRAY()), ARRAY())
                    ),
                    k_1 -> TRANSFORM(
                      COALESCE(
                        REGEXP_EXTRACT_ALL(
                          TO_JSON(TRY_PARSE_JSON(`gen_ai.tool.call.arguments`)),
                          '"\\Q' || REPLACE(REPLACE(k_1, '\\', '\\\\'), '"', '\\"') || '\\E":("(?:[^"\\\\]|\\\\.)*")',
                          1
                        ),
                        ARRAY()
                      ),
                      v_2 -> GET_JSON_OBJECT('{"v":' || v_2 || '}', '$.v')
                    )
                  )
                ),
                v_0 -> v_0 <> ''
              )
            )
          )
        END
      ) IS NULL
    END AS argument_explicit
  FROM arguments
  LEFT JOIN reg_identities AS identities
    ON identities.person = CASE WHEN NOT argument_user IS NULL THEN key END
)
SELECT
  named.*
  EXCEPT (`user.id`, `user.name`, `user.email`, `user.domain`, `user.roles`, `user.effective.id`, `user.effective.name`),
  user_id AS `user.id`,
  user_name AS `user.name`,
  user_email AS `user.email`,
  CASE WHEN NOT moved THEN `user.domain` END AS `user.domain`,
  CASE WHEN NOT moved THEN `user.roles` END AS `user.roles`,
  effective_id AS `user.effective.id`,
  effective_name AS `user.effective.name`,
  key AS `user.key`,
  CASE
    WHEN NOT person IS NULL
    THEN 'person'
    WHEN NOT user_email IS NULL
    THEN 'email'
    WHEN NOT key IS NULL
    THEN 'sub ' || `oauth.token.issuer`
  END AS key_kind,
  CASE WHEN ARRAY_SIZE(blind) > 0 THEN blind END AS `event.blind`,
  CAST(NULL AS BOOLEAN) AS `event.sequence_gap`,
  CAST(NULL AS BOOLEAN) AS `event.hash_broken`,
  CAST(NULL AS STRING) AS `chain.id`,
  CAST(NULL AS STRING) AS `chain.id_source`,
  stage = 'tool_call'
  AND (
    NOT `chain.prompt.id` IS NULL OR NOT `chain.prompt.hash` IS NULL
  )
  AND NOT `chain.response.hash` IS NULL
  AND LOWER(TRANSLATE(`event.outcome`, 'Σİ', 'σi')) IN ('success', 'failure') AS `chain.record_complete`,
  CASE
    WHEN (
      ids RLIKE '(?d)[^ -~]|[\'"<>\\\\`]|[$][{(]|%0[0adAD]|[.][.]/'
      OR (
        LENGTH(ids) > 512
        AND ARRAY_MAX(TRANSFORM(SPLIT(ids, CONCAT('\\Q', ' ', '\\E')), id_41 -> LENGTH(id_41))) > 512
      )
    )
    THEN 'hostile'
    WHEN (
      `trace.id` < '0000000000000001' AND TRIM('0' FROM `trace.id`) = ''
    )
    OR (
      `span.id` < '0000000000000001' AND TRIM('0' FROM `span.id`) = ''
    )
    OR (
      STARTSWITH(`transaction.id`, '00000000')
      AND TRIM('0-' FROM `transaction.id`) = ''
    )
    OR (
      STARTSWITH(`http.request.id`, '00000000')
      AND TRIM('0-' FROM `http.request.id`) = ''
    )
    THEN 'all_zero'
    WHEN NOT (
      `trace.id` RLIKE '\\A(?:(?d)[0-9a-fA-F]{32}|[0-9a-fA-F]{16}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24}|[0-9]{10,39})\\z'
    )
    THEN 'malformed'
  END AS `chain.correlation.flaw`,
  agent_mode AS `chain.agent.mode`,
  CASE
    WHEN NOT effective_agent IS NULL
    THEN COALESCE(effective_agent = LOWER(TRANSLATE(`gen_ai.agent.id`, 'Σİ', 'σi')), TRUE)
    WHEN NOT effective_id IS NULL AND NOT agent_identities IS NULL
    THEN FALSE
    WHEN NOT client_owner IS NULL
    THEN COALESCE(client_owner = LOWER(TRANSLATE(`gen_ai.agent.id`, 'Σİ', 'σi')), TRUE)
    WHEN NOT `oauth.client.id` IS NULL AND NOT agent_clients IS NULL
    THEN FALSE
  END AS `chain.agent.identity_registered`,
  COALESCE(LOWER(TRANSLATE(`chain.actor.recorded_type`, 'Σİ', 'σi')), register_kind) AS `chain.actor.type`,
  LOWER(TRANSLATE(`chain.actor.recorded_type`, 'Σİ', 'σi')) <> register_kind AS `chain.actor.contradicts`,
  CASE
    WHEN CAST(NULLIF(
      ARRAY_POSITION(
        ARRAY('plan', 'default', 'acceptedits', 'bypasspermissions'),
        LOWER(TRANSLATE(`chain.permission_mode.from`, 'Σİ', 'σi'))
      ),
      0
    ) AS INT) > 0
    AND CAST(NULLIF(
      ARRAY_POSITION(
        ARRAY('plan', 'default', 'acceptedits', 'bypasspermissions'),
        LOWER(TRANSLATE(`chain.permission_mode.to`, 'Σİ', 'σi'))
      ),
      0
    ) AS INT) > 0
    THEN CAST(NULLIF(
      ARRAY_POSITION(
        ARRAY('plan', 'default', 'acceptedits', 'bypasspermissions'),
        LOWER(TRANSLATE(`chain.permission_mode.from`, 'Σİ', 'σi'))
      ),
      0
    ) AS INT) < CAST(NULLIF(
      ARRAY_POSITION(
        ARRAY('plan', 'default', 'acceptedits', 'bypasspermissions'),
        LOWER(TRANSLATE(`chain.permission_mode.to`, 'Σİ', 'σi'))
      ),
      0
    ) AS INT)
  END AS `chain.permission_mode.loosened`,
  NOT COALESCE(`oauth.client.id`, `oauth.grant_type`, `oauth.resource`, `oauth.token.issuer`) IS NULL
  OR NOT `oauth.token.audience` IS NULL
  OR NOT `oauth.scope.granted` IS NULL
  OR NOT `oauth.scope.presented` IS NULL
  OR NOT `oauth.scope.required` IS NULL
  OR (
    NOT COALESCE(`oauth.token.id`, `oauth.token.hash`, `oauth.token.type`) IS NULL
    AND COALESCE(LOWER(TRANSLATE(`oauth.token.type`, 'Σİ', 'σi')), '') <> 'api_key'
  ) AS `oauth.used`,
  CASE
    WHEN client_known
    THEN client_trusted
    WHEN countersign_has_clients AND NOT `oauth.client.id` IS NULL
    THEN COALESCE(
      ARRAY_CONTAINS(
        countersign_domains,
        REGEXP_EXTRACT(
          LOWER(TRANSLATE(`oauth.client.id`, 'Σİ', 'σi')),
          '^https://([a-z0-9.-]+)(:\\d+)?(/|$)'
        )
      ),
      FALSE
    )
  END AS `oauth.client.trusted`,
  client_first_seen AS `oauth.client.first_seen`,
  CASE
    WHEN LOWER(TRANSLATE(`oauth.act.sub`, 'Σİ', 'σi')) <> LOWER(TRANSLATE(`oauth.may_act.sub`, 'Σİ', 'σi'))
    THEN FALSE
    WHEN `oauth.act.iss` <> `oauth.may_act.iss`
    THEN FALSE
    WHEN NOT `oauth.act.sub` IS NULL AND NOT `oauth.may_act.sub` IS NULL
    THEN TRUE
  END AS `oauth.act.permitted`,
  `oauth.token.hash` = `oauth.token.downstream_hash` AS `oauth.token.forwarded`,
  LOWER(TRANSLATE(`oauth.token.client_id`, 'Σİ', 'σi')) = LOWER(TRANSLATE(`oauth.client.id`, 'Σİ', 'σi')) AS `oauth.token.client_match`,
  CASE
    WHEN `oauth.token.audience` IS NULL
    THEN NULL
    WHEN ARRAY_SIZE(
      FILTER(
        `oauth.token.audience`,
        a -> LOWER(TRANSLATE(a, 'Σİ', 'σi')) = LOWER(TRANSLATE(`mcp.server.name`, 'Σİ', 'σi'))
        OR (
          TRIM(TRAILING '/' FROM LOWER(TRANSLATE(a, 'Σİ', 'σi')))
        ) IN (
          (
            TRIM(TRAILING '/' FROM LOWER(TRANSLATE(`mcp.server.uri`, 'Σİ', 'σi')))
          ),
          (
            TRIM(TRAILING '/' FROM LOWER(TRANSLATE(server_uri, 'Σİ', 'σi')))
          )
        )
      )
    ) > 0
    THEN TRUE
    WHEN ARRAY_SIZE(
      FILTER(
        `oauth.token.audience`,
        a -> CASE
          WHEN CONTAINS(a, '://')
          THEN COALESCE(`mcp.server.uri`, server_uri) IS NULL
          ELSE `mcp.server.name` IS NULL
        END
      )
    ) > 0
    THEN NULL
    ELSE FALSE
  END AS `oauth.token.audience_match`,
  lifetime AS `oauth.token.lifetime_sec`,
  accepted AS `oauth.token.accepted`,
  `@timestamp` > `oauth.token.expires_at` + 60000000 AS `oauth.token.expired`,
  lifetime > COALESCE(agent_limit, 7200) AS `oauth.token.over_limit`,
  CASE
    WHEN `oauth.scope.granted` IS NULL
    THEN (
      CASE
        WHEN `oauth.scope.presented` IS NULL
        THEN NULL
        WHEN NOT countersign_long_names_wide
        AND (
          ARRAY_JOIN(`oauth.scope.presented`, ' ') RLIKE '\\A(?:(?d)[^ .:/]+([.:/][^ .:/]+){2,}( [^ .:/]+([.:/][^ .:/]+){2,})*)\\z'
        )
        THEN FALSE
        ELSE CASE ARRAY_MAX(
            TRANSFORM(
              TRANSFORM(
                `oauth.scope.presented`,
                s_39 -> STRUCT(
                  s_39 AS scope,
                  (
                    FILTER(
                      SPLIT(
                        TRANSLATE(
                          (
                            CASE
                              WHEN CONTAINS(s_39, '://')
                              THEN REGEXP_REPLACE(LOWER(TRANSLATE(s_39, 'Σİ', 'σi')), '^[a-z][a-z0-9+.-]*://(.*/)?', '')
                              ELSE LOWER(TRANSLATE(s_39, 'Σİ', 'σi'))
                            END
                          ),
                          ':/',
                          '..'
                        ),
                        CONCAT('\\Q', '.', '\\E')
                      ),
                      part_40 -> part_40 <> ''
                    )
                  ) AS parts
                )
              ),
              s_38 -> (
                CASE
                  WHEN (
                    LOWER(TRANSLATE(s_38.scope, 'Σİ', 'σi')) IN ('openid', 'profile', 'email', 'address', 'phone', 'offline_access')
                  )
                  THEN 0
                  WHEN NOT TRY_ELEMENT_AT(countersign_scopes, LOWER(TRANSLATE(s_38.scope, 'Σİ', 'σi'))).system_wide IS NULL
                  THEN 2 * CAST(TRY_ELEMENT_AT(countersign_scopes, LOWER(TRANSLATE(s_38.scope, 'Σİ', 'σi'))).system_wide AS INT)
                  WHEN NOT TRY_ELEMENT_AT(countersign_scopes, LOWER(TRANSLATE(s_38.scope, 'Σİ', 'σi'))).resource IS NULL
                  THEN 0
                  WHEN ARRAY_SIZE(s_38.parts) >= 3
                  THEN 0
                  WHEN ARRAY_SIZE(s_38.parts) < 2
                  THEN 2
                  WHEN (
                    CASE
                      WHEN TRY_ELEMENT_AT(s_38.parts, 1) = '*' OR TRY_ELEMENT_AT(s_38.parts, 2) = '*'
                      THEN TRUE
                      WHEN NOT (
                        CASE
                          WHEN TRY_ELEMENT_AT(s_38.parts, 2) IN ('read', 'readonly', 'view', 'list', 'get', 'readbasic', 'reader')
                          THEN 'read'
                          WHEN TRY_ELEMENT_AT(s_38.parts, 2) IN (
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
                          WHEN TRY_ELEMENT_AT(s_38.parts, 2) IN ('delete', 'remove', 'purge', 'destroy')
                          THEN 'destructive'
                          WHEN TRY_ELEMENT_AT(s_38.parts, 2) IN ('admin', 'fullcontrol', 'full_access', 'owner', 'all_access')
                          THEN 'admin'
                        END
                      ) IS NULL
                      AND (
                        TRY_ELEMENT_AT(s_38.parts, 1) = LOWER(TRANSLATE(`service.target.name`, 'Σİ', 'σi'))
                        OR TRY_ELEMENT_AT(s_38.parts, 1) = LOWER(TRANSLATE(`mcp.server.name`, 'Σİ', 'σi'))
                        OR ARRAY_CONTAINS(countersign_systems, TRY_ELEMENT_AT(s_38.parts, 1))
                      )
                      THEN TRUE
                      WHEN NOT (
                        CASE
                          WHEN TRY_ELEMENT_AT(s_38.parts, 1) IN ('read', 'readonly', 'view', 'list', 'get', 'readbasic', 'reader')
                          THEN 'read'
                          WHEN TRY_ELEMENT_AT(s_38.parts, 1) IN (
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
                          WHEN TRY_ELEMENT_AT(s_38.parts, 1) IN ('delete', 'remove', 'purge', 'destroy')
                          THEN 'destructive'
                          WHEN TRY_ELEMENT_AT(s_38.parts, 1) IN ('admin', 'fullcontrol', 'full_access', 'owner', 'all_access')
                          THEN 'admin'
                        END
                      ) IS NULL
                      AND (
                        TRY_ELEMENT_AT(s_38.parts, 2) = LOWER(TRANSLATE(`service.target.name`, 'Σİ', 'σi'))
                        OR TRY_ELEMENT_AT(s_38.parts, 2) = LOWER(TRANSLATE(`mcp.server.name`, 'Σİ', 'σi'))
                        OR ARRAY_CONTAINS(countersign_systems, TRY_ELEMENT_AT(s_38.parts, 2))
                      )
                      THEN TRUE
                    END
                  )
                  THEN 2
                  ELSE 1
                END
              )
            )
          )
          WHEN 2
          THEN TRUE
          WHEN 0
          THEN FALSE
        END
      END
    )
    WHEN `oauth.scope.presented` IS NULL
    OR `oauth.scope.presented` = `oauth.scope.granted`
    THEN (
      CASE
        WHEN `oauth.scope.granted` IS NULL
        THEN NULL
        WHEN NOT countersign_long_names_wide
        AND (
          ARRAY_JOIN(`oauth.scope.granted`, ' ') RLIKE '\\A(?:(?d)[^ .:/]+([.:/][^ .:/]+){2,}( [^ .:/]+([.:/][^ .:/]+){2,})*)\\z'
        )
        THEN FALSE
        ELSE CASE ARRAY_MAX(
            TRANSFORM(
              TRANSFORM(
                `oauth.scope.granted`,
                s_36 -> STRUCT(
                  s_36 AS scope,
                  (
                    FILTER(
                      SPLIT(
                        TRANSLATE(
                          (
                            CASE
                              WHEN CONTAINS(s_36, '://')
                              THEN REGEXP_REPLACE(LOWER(TRANSLATE(s_36, 'Σİ', 'σi')), '^[a-z][a-z0-9+.-]*://(.*/)?', '')
                              ELSE LOWER(TRANSLATE(s_36, 'Σİ', 'σi'))
                            END
                          ),
                          ':/',
                          '..'
                        ),
                        CONCAT('\\Q', '.', '\\E')
                      ),
                      part_37 -> part_37 <> ''
                    )
                  ) AS parts
                )
              ),
              s_35 -> (
                CASE
                  WHEN (
                    LOWER(TRANSLATE(s_35.scope, 'Σİ', 'σi')) IN ('openid', 'profile', 'email', 'address', 'phone', 'offline_access')
                  )
                  THEN 0
                  WHEN NOT TRY_ELEMENT_AT(countersign_scopes, LOWER(TRANSLATE(s_35.scope, 'Σİ', 'σi'))).system_wide IS NULL
                  THEN 2 * CAST(TRY_ELEMENT_AT(countersign_scopes, LOWER(TRANSLATE(s_35.scope, 'Σİ', 'σi'))).system_wide AS INT)
                  WHEN NOT TRY_ELEMENT_AT(countersign_scopes, LOWER(TRANSLATE(s_35.scope, 'Σİ', 'σi'))).resource IS NULL
                  THEN 0
                  WHEN ARRAY_SIZE(s_35.parts) >= 3
                  THEN 0
                  WHEN ARRAY_SIZE(s_35.parts) < 2
                  THEN 2
                  WHEN (
                    CASE
                      WHEN TRY_ELEMENT_AT(s_35.parts, 1) = '*' OR TRY_ELEMENT_AT(s_35.parts, 2) = '*'
                      THEN TRUE
                      WHEN NOT (
                        CASE
                          WHEN TRY_ELEMENT_AT(s_35.parts, 2) IN ('read', 'readonly', 'view', 'list', 'get', 'readbasic', 'reader')
                          THEN 'read'
                          WHEN TRY_ELEMENT_AT(s_35.parts, 2) IN (
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
                          WHEN TRY_ELEMENT_AT(s_35.parts, 2) IN ('delete', 'remove', 'purge', 'destroy')
                          THEN 'destructive'
                          WHEN TRY_ELEMENT_AT(s_35.parts, 2) IN ('admin', 'fullcontrol', 'full_access', 'owner', 'all_access')
                          THEN 'admin'
                        END
                      ) IS NULL
                      AND (
                        TRY_ELEMENT_AT(s_35.parts, 1) = LOWER(TRANSLATE(`service.target.name`, 'Σİ', 'σi'))
                        OR TRY_ELEMENT_AT(s_35.parts, 1) = LOWER(TRANSLATE(`mcp.server.name`, 'Σİ', 'σi'))
                        OR ARRAY_CONTAINS(countersign_systems, TRY_ELEMENT_AT(s_35.parts, 1))
                      )
                      THEN TRUE
                      WHEN NOT (
                        CASE
                          WHEN TRY_ELEMENT_AT(s_35.parts, 1) IN ('read', 'readonly', 'view', 'list', 'get', 'readbasic', 'reader')
                          THEN 'read'
                          WHEN TRY_ELEMENT_AT(s_35.parts, 1) IN (
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
                          WHEN TRY_ELEMENT_AT(s_35.parts, 1) IN ('delete', 'remove', 'purge', 'destroy')
                          THEN 'destructive'
                          WHEN TRY_ELEMENT_AT(s_35.parts, 1) IN ('admin', 'fullcontrol', 'full_access', 'owner', 'all_access')
                          THEN 'admin'
                        END
                      ) IS NULL
                      AND (
                        TRY_ELEMENT_AT(s_35.parts, 2) = LOWER(TRANSLATE(`service.target.name`, 'Σİ', 'σi'))
                        OR TRY_ELEMENT_AT(s_35.parts, 2) = LOWER(TRANSLATE(`mcp.server.name`, 'Σİ', 'σi'))
                        OR ARRAY_CONTAINS(countersign_systems, TRY_ELEMENT_AT(s_35.parts, 2))
                      )
                      THEN TRUE
                    END
                  )
                  THEN 2
                  ELSE 1
                END
              )
            )
          )
          WHEN 2
          THEN TRUE
          WHEN 0
          THEN FALSE
        END
      END
    )
    ELSE (
      CASE
        WHEN CONCAT(
          COALESCE(`oauth.scope.granted`, ARRAY()),
          COALESCE(`oauth.scope.presented`, ARRAY())
        ) IS NULL
        THEN NULL
        WHEN NOT countersign_long_names_wide
        AND (
          ARRAY_JOIN(
            CONCAT(
              COALESCE(`oauth.scope.granted`, ARRAY()),
              COALESCE(`oauth.scope.presented`, ARRAY())
            ),
            ' '
          ) RLIKE '\\A(?:(?d)[^ .:/]+([.:/][^ .:/]+){2,}( [^ .:/]+([.:/][^ .:/]+){2,})*)\\z'
        )
        THEN FALSE
        ELSE CASE ARRAY_MAX(
            TRANSFORM(
              TRANSFORM(
                CONCAT(
                  COALESCE(`oauth.scope.granted`, ARRAY()),
                  COALESCE(`oauth.scope.presented`, ARRAY())
                ),
                s_33 -> STRUCT(
                  s_33 AS scope,
                  (
                    FILTER(
                      SPLIT(
                        TRANSLATE(
                          (
                            CASE
                              WHEN CONTAINS(s_33, '://')
                              THEN REGEXP_REPLACE(LOWER(TRANSLATE(s_33, 'Σİ', 'σi')), '^[a-z][a-z0-9+.-]*://(.*/)?', '')
                              ELSE LOWER(TRANSLATE(s_33, 'Σİ', 'σi'))
                            END
                          ),
                          ':/',
                          '..'
                        ),
                        CONCAT('\\Q', '.', '\\E')
                      ),
                      part_34 -> part_34 <> ''
                    )
                  ) AS parts
                )
              ),
              s_32 -> (
                CASE
                  WHEN (
                    LOWER(TRANSLATE(s_32.scope, 'Σİ', 'σi')) IN ('openid', 'profile', 'email', 'address', 'phone', 'offline_access')
                  )
                  THEN 0
                  WHEN NOT TRY_ELEMENT_AT(countersign_scopes, LOWER(TRANSLATE(s_32.scope, 'Σİ', 'σi'))).system_wide IS NULL
                  THEN 2 * CAST(TRY_ELEMENT_AT(countersign_scopes, LOWER(TRANSLATE(s_32.scope, 'Σİ', 'σi'))).system_wide AS INT)
                  WHEN NOT TRY_ELEMENT_AT(countersign_scopes, LOWER(TRANSLATE(s_32.scope, 'Σİ', 'σi'))).resource IS NULL
                  THEN 0
                  WHEN ARRAY_SIZE(s_32.parts) >= 3
                  THEN 0
                  WHEN ARRAY_SIZE(s_32.parts) < 2
                  THEN 2
                  WHEN (
                    CASE
                      WHEN TRY_ELEMENT_AT(s_32.parts, 1) = '*' OR TRY_ELEMENT_AT(s_32.parts, 2) = '*'
                      THEN TRUE
                      WHEN NOT (
                        CASE
                          WHEN TRY_ELEMENT_AT(s_32.parts, 2) IN ('read', 'readonly', 'view', 'list', 'get', 'readbasic', 'reader')
                          THEN 'read'
                          WHEN TRY_ELEMENT_AT(s_32.parts, 2) IN (
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
                          WHEN TRY_ELEMENT_AT(s_32.parts, 2) IN ('delete', 'remove', 'purge', 'destroy')
                          THEN 'destructive'
                          WHEN TRY_ELEMENT_AT(s_32.parts, 2) IN ('admin', 'fullcontrol', 'full_access', 'owner', 'all_access')
                          THEN 'admin'
                        END
                      ) IS NULL
                      AND (
                        TRY_ELEMENT_AT(s_32.parts, 1) = LOWER(TRANSLATE(`service.target.name`, 'Σİ', 'σi'))
                        OR TRY_ELEMENT_AT(s_32.parts, 1) = LOWER(TRANSLATE(`mcp.server.name`, 'Σİ', 'σi'))
                        OR ARRAY_CONTAINS(countersign_systems, TRY_ELEMENT_AT(s_32.parts, 1))
                      )
                      THEN TRUE
                      WHEN NOT (
                        CASE
                          WHEN TRY_ELEMENT_AT(s_32.parts, 1) IN ('read', 'readonly', 'view', 'list', 'get', 'readbasic', 'reader')
                          THEN 'read'
                          WHEN TRY_ELEMENT_AT(s_32.parts, 1) IN (
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
                          WHEN TRY_ELEMENT_AT(s_32.parts, 1) IN ('delete', 'remove', 'purge', 'destroy')
                          THEN 'destructive'
                          WHEN TRY_ELEMENT_AT(s_32.parts, 1) IN ('admin', 'fullcontrol', 'full_access', 'owner', 'all_access')
                          THEN 'admin'
                        END
                      ) IS NULL
                      AND (
                        TRY_ELEMENT_AT(s_32.parts, 2) = LOWER(TRANSLATE(`service.target.name`, 'Σİ', 'σi'))
                        OR TRY_ELEMENT_AT(s_32.parts, 2) = LOWER(TRANSLATE(`mcp.server.name`, 'Σİ', 'σi'))
                        OR ARRAY_CONTAINS(countersign_systems, TRY_ELEMENT_AT(s_32.parts, 2))
                      )
                      THEN TRUE
                    END
                  )
                  THEN 2
                  ELSE 1
                END
              )
            )
          )
          WHEN 2
          THEN TRUE
          WHEN 0
          THEN FALSE
        END
      END
    )
  END AS `oauth.scope.system_wide`,
  CASE
    WHEN `oauth.scope.presented` IS NULL
    OR required IS NULL
    OR `oauth.scope.presented` = required
    THEN NULL
    ELSE (
      CASE
        WHEN ARRAY_SIZE(
          ARRAY_DISTINCT(
            (
              FILTER(
                required,
                n_30 -> ARRAY_SIZE(
                  FILTER(
                    `oauth.scope.presented`,
                    h_31 -> (
                      LOWER(TRANSLATE(h_31, 'Σİ', 'σi')) = LOWER(TRANSLATE(n_30, 'Σİ', 'σi'))
                      OR h_31 = '*'
                      OR (
                        RIGHT(h_31, 2) IN ('.*', ':*')
                        AND STARTSWITH(
                          LOWER(TRANSLATE(n_30, 'Σİ', 'σi')),
                          LOWER(TRANSLATE(LEFT(h_31, LENGTH(h_31) - 1), 'Σİ', 'σi'))
                        )
                      )
                      OR COALESCE(
                        ARRAY_CONTAINS(
                          TRY_ELEMENT_AT(countersign_covered, LOWER(TRANSLATE(n_30, 'Σİ', 'σi'))),
                          LOWER(TRANSLATE(h_31, 'Σİ', 'σi'))
                        ),
                        FALSE
                      )
                    )
                  )
                ) = 0
              )
            )
          )
        ) > 0
        THEN ARRAY_DISTINCT(
          (
            FILTER(
              required,
              n_30 -> ARRAY_SIZE(
                FILTER(
                  `oauth.scope.presented`,
                  h_31 -> (
                    LOWER(TRANSLATE(h_31, 'Σİ', 'σi')) = LOWER(TRANSLATE(n_30, 'Σİ', 'σi'))
                    OR h_31 = '*'
                    OR (
                      RIGHT(h_31, 2) IN ('.*', ':*')
                      AND STARTSWITH(
                        LOWER(TRANSLATE(n_30, 'Σİ', 'σi')),
                        LOWER(TRANSLATE(LEFT(h_31, LENGTH(h_31) - 1), 'Σİ', 'σi'))
                      )
                    )
                    OR COALESCE(
                      ARRAY_CONTAINS(
                        TRY_ELEMENT_AT(countersign_covered, LOWER(TRANSLATE(n_30, 'Σİ', 'σi'))),
                        LOWER(TRANSLATE(h_31, 'Σİ', 'σi'))
                      ),
                      FALSE
                    )
                  )
                )
              ) = 0
            )
          )
        )
      END
    )
  END AS `oauth.scope.missing`,
  CASE
    WHEN `oauth.scope.presented` IS NULL OR required IS NULL
    THEN NULL
    WHEN `oauth.scope.presented` = required
    THEN 0
    ELSE ARRAY_SIZE(
      ARRAY_DISTINCT(
        (
          FILTER(
            required,
            n_28 -> ARRAY_SIZE(
              FILTER(
                `oauth.scope.presented`,
                h_29 -> (
                  LOWER(TRANSLATE(h_29, 'Σİ', 'σi')) = LOWER(TRANSLATE(n_28, 'Σİ', 'σi'))
                  OR h_29 = '*'
                  OR (
                    RIGHT(h_29, 2) IN ('.*', ':*')
                    AND STARTSWITH(
                      LOWER(TRANSLATE(n_28, 'Σİ', 'σi')),
                      LOWER(TRANSLATE(LEFT(h_29, LENGTH(h_29) - 1), 'Σİ', 'σi'))
                    )
                  )
                  OR COALESCE(
                    ARRAY_CONTAINS(
                      TRY_ELEMENT_AT(countersign_covered, LOWER(TRANSLATE(n_28, 'Σİ', 'σi'))),
                      LOWER(TRANSLATE(h_29, 'Σİ', 'σi'))
                    ),
                    FALSE
                  )
                )
              )
            ) = 0
          )
        )
      )
    )
  END AS `oauth.scope.missing_count`,
  CASE
    WHEN `oauth.scope.presented` IS NULL
    OR required IS NULL
    OR `oauth.scope.presented` = required
    THEN NULL
    ELSE (
      CASE
        WHEN ARRAY_SIZE(
          ARRAY_DISTINCT(
            FILTER(
              `oauth.scope.presented`,
              p -> NOT ARRAY_CONTAINS(
                TRANSFORM(required, r -> LOWER(TRANSLATE(r, 'Σİ', 'σi'))),
                LOWER(TRANSLATE(p, 'Σİ', 'σi'))
              )
            )
          )
        ) > 0
        THEN ARRAY_DISTINCT(
          FILTER(
            `oauth.scope.presented`,
            p -> NOT ARRAY_CONTAINS(
              TRANSFORM(required, r -> LOWER(TRANSLATE(r, 'Σİ', 'σi'))),
              LOWER(TRANSLATE(p, 'Σİ', 'σi'))
            )
          )
        )
      END
    )
  END AS `oauth.scope.excess`,
  CASE
    WHEN `oauth.scope.presented` IS NULL OR required IS NULL
    THEN NULL
    WHEN `oauth.scope.presented` = required
    THEN 0
    ELSE ARRAY_SIZE(
      ARRAY_DISTINCT(
        FILTER(
          `oauth.scope.presented`,
          p -> NOT ARRAY_CONTAINS(
            TRANSFORM(required, r -> LOWER(TRANSLATE(r, 'Σİ', 'σi'))),
            LOWER(TRANSLATE(p, 'Σİ', 'σi'))
          )
        )
      )
    )
  END AS `oauth.scope.excess_count`,
  CASE
    WHEN NOT `oauth.scope.granted` IS NULL
    AND NOT `oauth.scope.requested` IS NULL
    AND ARRAY_SIZE(
      FILTER(
        `oauth.scope.requested`,
        r -> (
          CASE
            WHEN CONTAINS(r, '://')
            THEN REGEXP_REPLACE(LOWER(TRANSLATE(r, 'Σİ', 'σi')), '^[a-z][a-z0-9+.-]*://(.*/)?', '')
            ELSE LOWER(TRANSLATE(r, 'Σİ', 'σi'))
          END
        ) = '.default'
      )
    ) = 0
    THEN ARRAY_SIZE(
      (
        FILTER(
          (
            FILTER(
              `oauth.scope.granted`,
              n_26 -> ARRAY_SIZE(
                FILTER(
                  `oauth.scope.requested`,
                  h_27 -> (
                    LOWER(TRANSLATE(h_27, 'Σİ', 'σi')) = LOWER(TRANSLATE(n_26, 'Σİ', 'σi'))
                    OR h_27 = '*'
                    OR (
                      RIGHT(h_27, 2) IN ('.*', ':*')
                      AND STARTSWITH(
                        LOWER(TRANSLATE(n_26, 'Σİ', 'σi')),
                        LOWER(TRANSLATE(LEFT(h_27, LENGTH(h_27) - 1), 'Σİ', 'σi'))
                      )
                    )
                    OR COALESCE(
                      ARRAY_CONTAINS(
                        TRY_ELEMENT_AT(countersign_covered, LOWER(TRANSLATE(n_26, 'Σİ', 'σi'))),
                        LOWER(TRANSLATE(h_27, 'Σİ', 'σi'))
                      ),
                      FALSE
                    )
                  )
                )
              ) = 0
            )
          ),
          g_24 -> NOT (
            CASE
              WHEN CONTAINS(g_24, '://')
              THEN REGEXP_REPLACE(LOWER(TRANSLATE(g_24, 'Σİ', 'σi')), '^[a-z][a-z0-9+.-]*://(.*/)?', '')
              ELSE LOWER(TRANSLATE(g_24, 'Σİ', 'σi'))
            END
          ) IN (
            'openid',
            'profile',
            'email',
            'address',
            'phone',
            'userinfo.email',
            'userinfo.profile'
          )
          AND ARRAY_SIZE(
            FILTER(
              `oauth.scope.requested`,
              r_25 -> CONTAINS(r_25, '://') <> CONTAINS(g_24, '://')
              AND (
                CASE
                  WHEN CONTAINS(r_25, '://')
                  THEN REGEXP_REPLACE(LOWER(TRANSLATE(r_25, 'Σİ', 'σi')), '^[a-z][a-z0-9+.-]*://(.*/)?', '')
                  ELSE LOWER(TRANSLATE(r_25, 'Σİ', 'σi'))
                END
              ) = (
                CASE
                  WHEN CONTAINS(g_24, '://')
                  THEN REGEXP_REPLACE(LOWER(TRANSLATE(g_24, 'Σİ', 'σi')), '^[a-z][a-z0-9+.-]*://(.*/)?', '')
                  ELSE LOWER(TRANSLATE(g_24, 'Σİ', 'σi'))
                END
              )
            )
          ) = 0
        )
      )
    ) > 0
  END AS `oauth.scope.beyond_request`,
  CASE
    WHEN NOT `oauth.scope.granted` IS NULL AND NOT scopes_offered IS NULL
    THEN ARRAY_SIZE(
      (
        FILTER(
          scopes_offered,
          n_22 -> ARRAY_SIZE(
            FILTER(
              `oauth.scope.granted`,
              h_23 -> (
                LOWER(TRANSLATE(h_23, 'Σİ', 'σi')) = LOWER(TRANSLATE(n_22, 'Σİ', 'σi'))
                OR h_23 = '*'
                OR (
                  RIGHT(h_23, 2) IN ('.*', ':*')
                  AND STARTSWITH(
                    LOWER(TRANSLATE(n_22, 'Σİ', 'σi')),
                    LOWER(TRANSLATE(LEFT(h_23, LENGTH(h_23) - 1), 'Σİ', 'σi'))
                  )
                )
                OR COALESCE(
                  ARRAY_CONTAINS(
                    TRY_ELEMENT_AT(countersign_covered, LOWER(TRANSLATE(n_22, 'Σİ', 'σi'))),
                    LOWER(TRANSLATE(h_23, 'Σİ', 'σi'))
                  ),
                  FALSE
                )
              )
            )
          ) = 0
        )
      )
    ) = 0
  END AS `oauth.scope.all_offered`,
  TRY_ELEMENT_AT(
    ARRAY('read', 'write', 'destructive', 'admin'),
    ARRAY_MAX(
      TRANSFORM(
        COALESCE(`oauth.scope.granted`, `oauth.scope.presented`),
        s_19 -> CAST(NULLIF(
          ARRAY_POSITION(
            ARRAY('read', 'write', 'destructive', 'admin'),
            COALESCE(
              TRY_ELEMENT_AT(countersign_scopes, LOWER(TRANSLATE(s_19, 'Σİ', 'σi'))).verb,
              CASE
                WHEN (
                  LOWER(TRANSLATE(s_19, 'Σİ', 'σi')) IN ('openid', 'profile', 'email', 'address', 'phone', 'offline_access')
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
                                  WHEN CONTAINS(s_19, '://')
                                  THEN REGEXP_REPLACE(LOWER(TRANSLATE(s_19, 'Σİ', 'σi')), '^[a-z][a-z0-9+.-]*://(.*/)?', '')
                                  ELSE LOWER(TRANSLATE(s_19, 'Σİ', 'σi'))
                                END
                              ),
                              ':/',
                              '..'
                            ),
                            CONCAT('\\Q', '.', '\\E')
                          ),
                          part_21 -> part_21 <> ''
                        )
                      ),
                      part_20 -> CAST(NULLIF(
                        ARRAY_POSITION(
                          ARRAY('read', 'write', 'destructive', 'admin'),
                          (
                            CASE
                              WHEN part_20 IN ('read', 'readonly', 'view', 'list', 'get', 'readbasic', 'reader')
                              THEN 'read'
                              WHEN part_20 IN (
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
                              WHEN part_20 IN ('delete', 'remove', 'purge', 'destroy')
                              THEN 'destructive'
                              WHEN part_20 IN ('admin', 'fullcontrol', 'full_access', 'owner', 'all_access')
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
  ) AS `oauth.scope.risk`,
  `oauth.response_iss` = `oauth.issuer.expected` AS `oauth.issuer.match`,
  `mcp.protocol.version` < min_protocol AS `mcp.protocol.downgraded`,
  argument_user AS `mcp.tool.argument_user`,
  argument_explicit AS `mcp.tool.argument_user_explicit`,
  CASE
    WHEN NOT argument_user IS NULL
    AND NOT COALESCE(user_id, user_name, user_email) IS NULL
    THEN ARRAY_SIZE(
      FILTER(
        argument_user,
        a -> NOT COALESCE(
          LOWER(TRANSLATE(a, 'Σİ', 'σi')) IN (
            LOWER(TRANSLATE(user_id, 'Σİ', 'σi')),
            LOWER(TRANSLATE(user_name, 'Σİ', 'σi')),
            LOWER(TRANSLATE(user_email, 'Σİ', 'σi'))
          ),
          FALSE
        )
        AND NOT COALESCE(LOWER(TRANSLATE(a, 'Σİ', 'σi')) = LOWER(TRANSLATE(key, 'Σİ', 'σi')), FALSE)
        AND NOT COALESCE(ARRAY_CONTAINS(names_of_person, LOWER(TRANSLATE(a, 'Σİ', 'σi'))), FALSE)
      )
    ) = 0
  END AS `mcp.tool.argument_user_match`,
  approved_hash AS `mcp.tool.definition.approved_hash`,
  LOWER(TRANSLATE(`mcp.tool.definition.hash`, 'Σİ', 'σi')) <> LOWER(TRANSLATE(approved_hash, 'Σİ', 'σi')) AS `mcp.tool.definition.changed`,
  risk AS `mcp.tool.risk`,
  CASE
    WHEN `gen_ai.tool.name` IS NULL
    OR (
      agent_tools IS NULL AND `chain.tools.granted` IS NULL
    )
    THEN NULL
    ELSE COALESCE(
      ARRAY_CONTAINS(agent_tools, LOWER(TRANSLATE(`gen_ai.tool.name`, 'Σİ', 'σi'))),
      FALSE
    )
    OR COALESCE(
      ARRAY_CONTAINS(
        TRANSFORM(`chain.tools.granted`, g -> LOWER(TRANSLATE(g, 'Σİ', 'σi'))),
        LOWER(TRANSLATE(`gen_ai.tool.name`, 'Σİ', 'σi'))
      ),
      FALSE
    )
  END AS `mcp.tool.granted`,
  CASE
    WHEN countersign_has_servers AND NOT `mcp.server.name` IS NULL
    THEN COALESCE(party, 'unknown')
  END AS `mcp.server.party`,
  server_approval AS `mcp.server.approval`,
  review_expires AS `mcp.server.review_expires`,
  regions AS `mcp.server.regions`,
  CASE
    WHEN NOT regions IS NULL
    THEN (
      CASE
        WHEN COALESCE(
          ARRAY_CONTAINS(
            (
              SPLIT(
                LOWER(
                  TRANSLATE(
                    TRY_ELEMENT_AT(
                      SPLIT(
                        CAST(COALESCE(
                          TRY_ELEMENT_AT(
                            FILTER(
                              regions,
                              r_15 -> STARTSWITH(
                                LOWER(TRANSLATE(r_15, 'Σİ', 'σi')),
                                LOWER(TRANSLATE(`chain.resource.classification`, 'Σİ', 'σi')) || '='
                              )
                            ),
                            1
                          ),
                          TRY_ELEMENT_AT(FILTER(regions, r_16 -> STARTSWITH(r_16, '*=')), 1)
                        ) AS STRING),
                        CONCAT('\\Q', '=', '\\E')
                      ),
                      2
                    ),
                    'Σİ',
                    'σi'
                  )
                ),
                CONCAT('\\Q', ',', '\\E')
              )
            ),
            LOWER(TRANSLATE(`cloud.region`, 'Σİ', 'σi'))
          ),
          FALSE
        )
        OR COALESCE(
          ARRAY_CONTAINS(
            (
              SPLIT(
                LOWER(
                  TRANSLATE(
                    TRY_ELEMENT_AT(
                      SPLIT(
                        CAST(COALESCE(
                          TRY_ELEMENT_AT(
                            FILTER(
                              regions,
                              r_15 -> STARTSWITH(
                                LOWER(TRANSLATE(r_15, 'Σİ', 'σi')),
                                LOWER(TRANSLATE(`chain.resource.classification`, 'Σİ', 'σi')) || '='
                              )
                            ),
                            1
                          ),
                          TRY_ELEMENT_AT(FILTER(regions, r_16 -> STARTSWITH(r_16, '*=')), 1)
                        ) AS STRING),
                        CONCAT('\\Q', '=', '\\E')
                      ),
                      2
                    ),
                    'Σİ',
                    'σi'
                  )
                ),
                CONCAT('\\Q', ',', '\\E')
              )
            ),
            LOWER(TRANSLATE(`server.geo.country_iso_code`, 'Σİ', 'σi'))
          ),
          FALSE
        )
        THEN TRUE
        WHEN NOT LOWER(TRANSLATE(`cloud.region`, 'Σİ', 'σi')) IS NULL
        AND ARRAY_SIZE(
          FILTER(
            (
              SPLIT(
                LOWER(
                  TRANSLATE(
                    TRY_ELEMENT_AT(
                      SPLIT(
                        CAST(COALESCE(
                          TRY_ELEMENT_AT(
                            FILTER(
                              regions,
                              r_15 -> STARTSWITH(
                                LOWER(TRANSLATE(r_15, 'Σİ', 'σi')),
                                LOWER(TRANSLATE(`chain.resource.classification`, 'Σİ', 'σi')) || '='
                              )
                            ),
                            1
                          ),
                          TRY_ELEMENT_AT(FILTER(regions, r_16 -> STARTSWITH(r_16, '*=')), 1)
                        ) AS STRING),
                        CONCAT('\\Q', '=', '\\E')
                      ),
                      2
                    ),
                    'Σİ',
                    'σi'
                  )
                ),
                CONCAT('\\Q', ',', '\\E')
              )
            ),
            p_17 -> LENGTH(p_17) > 2
          )
        ) > 0
        THEN FALSE
        WHEN NOT LOWER(TRANSLATE(`server.geo.country_iso_code`, 'Σİ', 'σi')) IS NULL
        AND ARRAY_SIZE(
          FILTER(
            (
              SPLIT(
                LOWER(
                  TRANSLATE(
                    TRY_ELEMENT_AT(
                      SPLIT(
                        CAST(COALESCE(
                          TRY_ELEMENT_AT(
                            FILTER(
                              regions,
                              r_15 -> STARTSWITH(
                                LOWER(TRANSLATE(r_15, 'Σİ', 'σi')),
                                LOWER(TRANSLATE(`chain.resource.classification`, 'Σİ', 'σi')) || '='
                              )
                            ),
                            1
                          ),
                          TRY_ELEMENT_AT(FILTER(regions, r_16 -> STARTSWITH(r_16, '*=')), 1)
                        ) AS STRING),
                        CONCAT('\\Q', '=', '\\E')
                      ),
                      2
                    ),
                    'Σİ',
                    'σi'
                  )
                ),
                CONCAT('\\Q', ',', '\\E')
              )
            ),
            p_18 -> LENGTH(p_18) = 2
          )
        ) > 0
        THEN FALSE
      END
    )
  END AS `mcp.server.region_allowed`,
  CASE
    WHEN (
      TRIM(TRAILING '/' FROM LOWER(TRANSLATE(`mcp.server.uri`, 'Σİ', 'σi')))
    ) <> (
      TRIM(TRAILING '/' FROM LOWER(TRANSLATE(server_uri, 'Σİ', 'σi')))
    )
    OR LOWER(TRANSLATE(`server.address`, 'Σİ', 'σi')) <> LOWER(TRANSLATE(server_address, 'Σİ', 'σi'))
    OR LOWER(TRANSLATE(`tls.server.hash.sha256`, 'Σİ', 'σi')) <> LOWER(TRANSLATE(tls_sha256, 'Σİ', 'σi'))
    THEN TRUE
    WHEN (
      NOT `mcp.server.uri` IS NULL AND NOT server_uri IS NULL
    )
    OR (
      NOT `server.address` IS NULL AND NOT server_address IS NULL
    )
    OR (
      NOT `tls.server.hash.sha256` IS NULL AND NOT tls_sha256 IS NULL
    )
    THEN FALSE
  END AS `mcp.server.changed`,
  CASE
    WHEN `mcp.header.method` <> `mcp.method.name`
    OR `mcp.header.name` <> COALESCE(`gen_ai.tool.name`, `mcp.resource.uri`)
    THEN FALSE
    WHEN (
      NOT `mcp.header.method` IS NULL AND NOT `mcp.method.name` IS NULL
    )
    OR (
      NOT `mcp.header.name` IS NULL
      AND NOT COALESCE(`gen_ai.tool.name`, `mcp.resource.uri`) IS NULL
    )
    THEN TRUE
  END AS `mcp.header.match`,
  CASE
    WHEN NOT address IS NULL
    THEN NOT (
      ARRAY_SIZE(FILTER(countersign_networks, n_14 -> address BETWEEN n_14.first AND n_14.last)) > 0
    )
  END AS `source.public`
FROM named);
