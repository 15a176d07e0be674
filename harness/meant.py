"""Which rule is meant to see which of the generator's attacks. The attacks themselves know no rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MEANT: Mapping[str, str] = {
    "service_call_without_person": "service_actor_without_user",
    "argument_for_somebody_else": "argument_names_other_user",
    "person_dropped_downstream": "delegation_dropped",
    "person_exchanged_downstream": "user_changed_along_chain",
    "token_of_another_server": "token_for_other_audience",
    "token_handed_on": "token_passed_through",
    "token_long_expired": "expired_token_accepted",
    "user_only_in_the_arguments": "argument_names_user_unauthenticated",
    "exchange_that_hides_the_agent": "exchange_without_actor",
    "assertion_nobody_checked": "unverified_assertion_accepted",
    "token_for_any_server": "token_request_without_resource",
    "agent_asks_in_its_own_name": "client_credentials_by_interactive_agent",
    "call_without_any_scope": "unscoped_tool_call",
    "call_with_the_whole_system": "unscoped_tool_call",
    "call_beyond_its_scope": "call_without_required_scope",
    "grant_of_everything": "system_wide_scope_granted",
    "grant_of_more_than_was_asked": "scope_granted_beyond_request",
    "tool_nobody_granted": "tool_outside_grant",
    "token_for_a_month": "long_lived_token",
    "write_with_leave_to_read": "write_under_read_scope",
    "reading_tool_that_writes": "write_by_read_only_tool",
    "definition_swapped": "tool_definition_changed",
    "call_names_no_prompt": "tool_call_without_prompt",
    "nobody_asked": "chain_without_prompt",
    "answer_never_came": "call_never_answered",
    "two_people_one_id": "correlation_id_shared",
    "write_past_the_gateway": "orphan_write",
    "trail_lost_downstream": "correlation_id_dropped",
    "gateway_that_cannot_say": "source_blind_to_scope",
    "server_that_cannot_say": "source_blind_to_user",
    "server_faces_the_internet": "server_exposed_to_internet",
    "one_key_for_all": "static_api_key",
    "anybody_may_call": "unauthenticated_call_served",
    "server_nobody_knows": "unregistered_server_called",
    "told_by_a_document": "untrusted_prompt_wrote",
    "call_without_any_id": "call_without_correlation_id",
    "line_forged_by_an_id": "correlation_id_flawed",
    "prompt_record_gone": "write_without_known_authority",
    "agent_hidden_downstream": "agent_missing_downstream",
    "way_around_the_proxy": "call_past_the_proxy",
    "token_for_all_to_read": "token_in_url",
    "server_nobody_reviewed_again": "server_review_expired",
    "call_in_another_country": "region_not_allowed",
    "secrets_told_to_a_vendor": "restricted_data_shared",
    "one_identity_for_everybody": "service_identity_acts_for_many",
    "rights_widened_in_passing": "scope_escalated_without_consent",
    "tools_tried_one_by_one": "tools_enumerated",
    "loop_of_calls": "runaway_calls",
    "keys_tried_one_by_one": "unauthorized_burst",
}
"""Attack → stem of the rule."""
