-- The chain view: one row a chain, each fact a boolean with a plain name. Reads `link`, `calls` and `accesses`
-- (attribution.sql) and what is in conflict (conflict.sql). Where `of_slice` is asked, chains are taken slice by slice
-- (engine.py), so that what is held does not grow with the log.
CREATE OR REPLACE TEMP TABLE access_facts AS
  SELECT chain,
    bool_and(call IS NOT NULL) AS attributed,
    bool_or(is_write AND (by_agent AND backed_calls = 0 OR NOT backed)) AS orphan_write,
    -- no, if one access names nobody or another; unknown, if one names somebody who cannot be compared
    CASE WHEN bool_or(NOT same_person) THEN false WHEN bool_and(same_person IS NOT NULL) FILTER (call_human) THEN true END AS user_propagated,
    bool_and(names_agent) FILTER (call IS NOT NULL) AS agent_propagated,
    bool_or(h = call_h AND NOT coalesce(audience_match, false)) AS passed_through,
    bool_or(wrote AND read_scope) AS under_read_scope,
    bool_or(wrote AND read_only_tool) AS with_read_only_tool
  FROM (
    SELECT accesses.*, coalesce(one_call.backed, 0) AS backed_calls, calls.h AS call_h, calls.human AS call_human, calls.read_scope, calls.read_only_tool,
      CASE WHEN calls.human THEN
        CASE WHEN NOT accesses.human THEN false WHEN accesses.person_kind = calls.person_kind THEN accesses.person = calls.person END END AS same_person
    FROM accesses LEFT JOIN calls ON calls.rid = accesses.call LEFT JOIN one_call ON one_call.chain = accesses.chain)
  GROUP BY chain;

-- Is every call answered? By itself, by tool-call id, span or trace, or because the chain has one call and an answer.
CREATE OR REPLACE TEMP TABLE answer AS
  WITH call AS (SELECT * FROM calls WHERE of_slice(chain)),
  said AS (SELECT chain, stage, c, span, parent, t FROM link
           WHERE stage IN (3, 4) AND of_slice(chain))
  SELECT call.chain, bool_and(settled_itself OR by_id.c IS NOT NULL OR by_span.span IS NOT NULL OR by_trace.t IS NOT NULL
                              OR (one_call.n = 1 AND any_answer.chain IS NOT NULL)) AS answered
  FROM call JOIN (FROM one_call WHERE of_slice(chain)) one_call ON one_call.chain = call.chain
  LEFT JOIN (SELECT DISTINCT chain FROM said WHERE stage = 4) any_answer ON any_answer.chain = call.chain
  LEFT JOIN (SELECT DISTINCT chain, c FROM said WHERE stage = 4 AND c IS NOT NULL) by_id ON by_id.chain = call.chain AND by_id.c = call.c
  LEFT JOIN (SELECT DISTINCT chain, unnest([span, parent]) AS span FROM said WHERE stage = 4) by_span
    ON by_span.chain = call.chain AND by_span.span = call.span
  LEFT JOIN (SELECT chain, t FROM said WHERE t IS NOT NULL GROUP BY chain, t
             HAVING count(*) FILTER (stage = 4) >= count(*) FILTER (stage = 3)) by_trace
    ON by_trace.chain = call.chain AND by_trace.t = call.t
  GROUP BY call.chain;

-- The first hop that lost the correlation id which an earlier hop of the same chain had. A hop that could have kept it comes
-- before one whose sources can carry none: that one is named only where no other lost it, and a rule excuses it.
CREATE OR REPLACE TEMP TABLE dropped AS
  WITH hop AS (
    SELECT chain, stage, [0, 1, 2, 3, 4, 0, 0, 5, 0][stage + 1] AS hop,
      bool_or(coalesce(p, t, x) IS NULL AND NOT is_blind(blind, 'correlation')) AS lost, bool_and(is_blind(blind, 'correlation')) AS blind,
      bool_or(coalesce(p, t, x) IS NULL) AS lacked, bool_or(coalesce(p, t, x) IS NOT NULL) AS had
    FROM link WHERE stage IN (1, 2, 3, 4, 7)
      AND chain IN (SELECT chain FROM link WHERE coalesce(p, t, x) IS NULL AND stage IN (2, 3, 4, 7))
    GROUP BY chain, stage)
  SELECT later.chain, arg_min(later.stage, (later.blind, later.hop)) AS stage
  FROM hop later JOIN hop earlier ON earlier.chain = later.chain AND earlier.hop < later.hop
  WHERE (later.lost OR later.lacked AND later.blind) AND earlier.had
  GROUP BY later.chain;

CREATE OR REPLACE TEMP TABLE soft_prompt AS
  SELECT chain, bool_or(member NOT IN (1, 2) OR rid IN (SELECT rid FROM agreed)) AS backed
  FROM link WHERE stage = 1 GROUP BY chain;

-- A worker's prompt in a trace that a person's or a schedule's prompt began is theirs, handed on. What a tool's output asks
-- never is, and a trace that a client may set hands nothing on.
CREATE OR REPLACE TEMP TABLE handed_on AS
  SELECT DISTINCT chain FROM placed WHERE rid IN (
    SELECT worker.rid FROM ev worker JOIN ev root ON root.t = worker.t
    WHERE worker.stage = 1 AND worker.origin_code = 4 AND NOT worker.t_client AND root.stage = 1 AND root.origin_code <= 2 AND NOT root.t_client
      AND root.ts <= worker.ts + 60000000 AND coalesce(root.person_kind <> worker.person_kind OR root.person = worker.person, true));

-- Restricted data was touched, and then (skew allowed for) a third party was sent to or answered that is not cleared for it.
CREATE OR REPLACE TEMP TABLE shared AS
  SELECT chain FROM link WHERE restricted OR third_shown GROUP BY chain
  HAVING max(ts) FILTER (third_shown) >= min(ts) FILTER (restricted) - 60000000;

CREATE OR REPLACE TEMP TABLE chain_base AS
  SELECT chain,
    coalesce(min(kind), min(source)) AS kind, coalesce(bool_and(source = 'claimed') FILTER (kind IS NOT NULL), false) AS claimed,
    min(source) FILTER (kind IS NULL) AS weak_source,
    min(ts) AS start, max(ts) AS "end",
    count(*) FILTER (stage = 1) AS prompts, count(*) FILTER (stage = 2) AS decisions, count(*) FILTER (stage = 3) AS tool_calls,
    count(*) FILTER (stage = 4) AS responses, count(*) FILTER (stage = 5) AS tokens, count(*) FILTER (stage = 7) AS accesses,
    count(*) FILTER (stage = 7 AND is_write) AS writes,
    count(*) FILTER (stage = 1 AND origin = 2) AS schedule_prompts,
    count(*) FILTER (stage = 1 AND origin = 1) AS user_prompts, count(*) FILTER (stage = 1 AND origin = 3) AS untrusted_prompts,
    bool_or(human) FILTER (stage = 3) AS call_human, bool_or(actor_known) FILTER (stage = 7) AS access_actor,
    bool_or(granted) AS granted, bool_or(third_party) AS third_party, bool_or(restricted) AS restricted,
    min(ts) FILTER (stage = 1) AS prompt_at, min(ts) FILTER (stage = 3) AS call_at, min(ts) FILTER (stage = 4) AS answer_at,
    min(agent) AS agent, min(system) AS system, bit_or(1::UINTEGER << stage) AS seen,
    -- a concept is blind at a stage when every record of the chain at that stage can never supply it
    bit_and(blind) FILTER (stage = 1) AS blind1, bit_and(blind) FILTER (stage = 2) AS blind2, bit_and(blind) FILTER (stage = 3) AS blind3, bit_and(blind) FILTER (stage = 4) AS blind4,
    bit_and(blind) FILTER (stage = 5) AS blind5, bit_and(blind) FILTER (stage = 6) AS blind6, bit_and(blind) FILTER (stage = 7) AS blind7,
    bit_and(blind) FILTER (stage = 8) AS blind8
  FROM link GROUP BY chain;

-- Which stages are expected of a chain? Those that the register's coverage names for its agent or system; where it names
-- none, those that another chain of the same agent or system has within the lookback.
CREATE OR REPLACE TEMP TABLE expected AS
  WITH member AS (
    SELECT DISTINCT chain, unnest([agent, system]) AS who FROM link),
  whose AS (SELECT member.chain, who, chain_base.start AS began, chain_base."end" AS ended, seen FROM member JOIN chain_base USING (chain) WHERE who IS NOT NULL),
  covered AS (
    SELECT chain, bit_or(stages) AS stages, true AS listed FROM whose
    JOIN (SELECT countersign_key('agent', agent) AS who, stage_bits(stages) AS stages, since FROM reg_coverage WHERE agent IS NOT NULL
          UNION ALL SELECT countersign_key('system', system), stage_bits(stages), since FROM reg_coverage WHERE system IS NOT NULL) USING (who)
    WHERE coalesce(since <= began, true) GROUP BY chain),
  -- who had a stage when, in slices of one lookback: a chain and a record within a lookback of it lie in the same slice or
  -- in neighbours, and of a neighbour only the nearest end matters. What an earlier scan saw is `carried_slices`; of a chain
  -- that it judged only some records may be here, and these are no news.
  slices AS (
    SELECT who, stage, slice, min(first) AS first, max(last) AS last FROM (
      SELECT who, stage, began // getvariable('lookback') AS slice, began AS first, began AS last
      FROM whose, (VALUES (1), (3), (4)) s(stage) WHERE seen & (1::UINTEGER << stage) > 0 AND ended > getvariable('before')
      UNION ALL FROM carried_slices)
    GROUP BY ALL),
  lacking AS (
    SELECT chain, who, began, stage, began // getvariable('lookback') + step AS slice
    FROM whose, (VALUES (1), (3), (4)) s(stage), (VALUES (-1), (0), (1)) n(step) WHERE seen & (1::UINTEGER << stage) = 0),
  near AS (
    SELECT DISTINCT lacking.chain, lacking.stage FROM lacking JOIN slices USING (who, stage, slice)
    WHERE abs(began - first) <= getvariable('lookback') OR abs(began - last) <= getvariable('lookback')
       OR began BETWEEN first AND last)
  SELECT chain_base.chain, coalesce(any_value(covered.stages), bit_or(CASE WHEN near.stage IS NOT NULL THEN 1::UINTEGER << near.stage ELSE 0::UINTEGER END)) AS stages,
    any_value(covered.stages) AS covered,
    -- stages that nobody has been seen to have, and that may yet be seen: with a record to come they are expected after all
    CASE WHEN any_value(covered.stages) IS NULL THEN (26::UINTEGER & ~any_value(seen)) & ~coalesce(bit_or(1::UINTEGER << near.stage), 0::UINTEGER) ELSE 0::UINTEGER END AS undecided
  FROM chain_base LEFT JOIN covered ON covered.chain = chain_base.chain LEFT JOIN near ON near.chain = chain_base.chain
  GROUP BY chain_base.chain;

CREATE OR REPLACE TEMP TABLE chains AS
  SELECT b.chain,
    CASE WHEN b.claimed THEN 'claimed' WHEN b.kind IS NULL THEN b.weak_source ELSE b.kind END AS "chain.id_source",
    b.start AS "chain.start", b."end" AS "chain.end", (b."end" - b.start) / 1e6 AS "chain.duration_sec",
    b.prompts AS "chain.prompts", b.decisions AS "chain.decisions", b.tool_calls AS "chain.tool_calls", b.responses AS "chain.responses",
    b.tokens AS "chain.tokens", b.accesses AS "chain.accesses", b.writes AS "chain.writes",
    -- the prompt's record, or an issued reference to it
    (coalesce(soft_prompt.backed, false) OR (b.prompts = 0 AND b.kind = 'prompt')) AND coalesce(backing.all_backed, true) AS "chain.has_prompt",
    b.user_prompts > 0 AND coalesce(soft_prompt.backed, false) AND coalesce(backing.all_backed, true) AS "chain.has_user_prompt",
    answer.answered AS "chain.answered",
    CASE WHEN b.tool_calls > 0 THEN coalesce(backing.human, false) END AS "chain.user_linked",
    af.user_propagated AS "chain.user_propagated",
    af.agent_propagated AS "chain.agent_propagated",
    changed.chain IS NOT NULL AND conflict.chain IS NULL AS "chain.user_changed",
    conflict.chain IS NOT NULL AS "chain.conflict",
    dropped.chain IS NOT NULL AS "chain.id_dropped",
    coalesce(af.passed_through, false) AS "chain.token_passed_through",
    coalesce(af.orphan_write, false) AS "chain.orphan_write",
    coalesce(af.under_read_scope, false) AS "chain.wrote_under_read_scope",
    coalesce(af.with_read_only_tool, false) AS "chain.wrote_with_read_only_tool",
    -- where two clocks are compared, 60 s of skew are allowed
    NOT (coalesce(b.call_at < b.prompt_at - 60000000, false) OR coalesce(b.answer_at < b.call_at - 60000000, false)) AS "chain.ordered",
    b.prompts > 0 AND coalesce(soft_prompt.backed, false) AND coalesce(backing.all_backed AND (backing.human OR b.schedule_prompts = b.prompts), false) AND coalesce(answer.answered, false)
      AND coalesce(b.granted, false) AND coalesce(b.access_actor, false) AND NOT coalesce(af.orphan_write, false) AS "chain.complete",
    -- the parts of "chain.complete", each by its name
    CASE WHEN NOT "chain.complete" THEN list_filter([
      CASE WHEN b.prompts = 0 OR NOT coalesce(soft_prompt.backed, false) THEN 'prompt' END,
      CASE WHEN NOT coalesce(backing.all_backed, false) OR coalesce(af.orphan_write, false) THEN 'call' END,
      CASE WHEN NOT coalesce(b.call_human OR (b.prompts > 0 AND b.schedule_prompts = b.prompts), false) THEN 'user' END,
      CASE WHEN NOT coalesce(answer.answered, false) THEN 'response' END,
      CASE WHEN NOT coalesce(b.granted, false) THEN 'grant' END,
      CASE WHEN NOT coalesce(b.access_actor, false) THEN 'actor' END], lambda part: part IS NOT NULL) END AS "chain.missing",
    b.prompts > 0 AND b.untrusted_prompts = b.prompts AND handed_on.chain IS NULL AS "chain.prompt_untrusted_only",
    coalesce(b.third_party, false) AS "chain.third_party",
    coalesce(b.restricted, false) AS "chain.restricted_data",
    shared.chain IS NOT NULL AS "chain.restricted_shared",
    af.attributed AS "chain.attributed",
    ['prompt', 'decision', 'tool_call', 'tool_response', 'token', 'consent', 'access', 'change'][dropped.stage] AS "chain.id_dropped_at",
    flatten([
      CASE WHEN b.prompts = 0 AND expected.stages & 2 = 0 THEN ['prompt'] ELSE [] END,
      CASE WHEN b.tool_calls = 0 AND expected.stages & 8 = 0 THEN ['tool_call'] ELSE [] END,
      CASE WHEN b.responses = 0 AND expected.stages & 16 = 0 THEN ['tool_response'] ELSE [] END,
      blind_pairs('prompt', b.blind1, 0::UINTEGER), blind_pairs('decision', b.blind2, 0::UINTEGER),
      blind_pairs('tool_call', b.blind3, coalesce(expected.covered, 0::UINTEGER)), blind_pairs('tool_response', b.blind4, 0::UINTEGER),
      blind_pairs('token', b.blind5, 0::UINTEGER), blind_pairs('consent', b.blind6, 0::UINTEGER),
      blind_pairs('access', b.blind7, 0::UINTEGER), blind_pairs('change', b.blind8, 0::UINTEGER)]) AS blind
  FROM (FROM chain_base WHERE of_slice(chain)) b
  LEFT JOIN (FROM soft_prompt WHERE of_slice(chain)) soft_prompt USING (chain) LEFT JOIN (FROM answer WHERE of_slice(chain)) answer USING (chain)
  LEFT JOIN (FROM access_facts WHERE of_slice(chain)) af USING (chain) LEFT JOIN (FROM changed WHERE of_slice(chain)) changed USING (chain)
  LEFT JOIN (FROM conflict WHERE of_slice(chain)) conflict USING (chain) LEFT JOIN (FROM dropped WHERE of_slice(chain)) dropped USING (chain)
  LEFT JOIN (FROM expected WHERE of_slice(chain)) expected USING (chain) LEFT JOIN (FROM handed_on WHERE of_slice(chain)) handed_on USING (chain)
  LEFT JOIN (FROM shared WHERE of_slice(chain)) shared USING (chain)
  LEFT JOIN (SELECT chain, bool_and(backed) AS all_backed, bool_or(human AND backed) AS human FROM calls WHERE of_slice(chain) GROUP BY chain) backing
    USING (chain);
