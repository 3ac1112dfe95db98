//! The oddities of Azure's real answers, a test for each, with bodies made up for the test.
//!
//! They were collected from traffic that public projects recorded. Each line below is one point and the test that proves
//! how this client takes it; points about interfaces that it does not use are put to the nearest code that it has.
//!
//! Workspaces (`workspaces`):
//! - the mode is missing from every recording: `a_missing_mode_is_unset_and_an_unknown_one_is_kept`
//! - a list mixes kinds: `a_list_mixes_workspaces_hubs_and_projects_on_one_account`
//! - a hub has null and an array: `a_hub_with_null_storage_account_stands_on_the_first_of_its_array`, and where the array is
//!   longer, `a_hub_that_names_several_accounts_holds_the_key_of_each`
//! - kind, sku and identity are absent: `a_sparse_workspace_is_an_ordinary_one_without_identity`
//! - the account's id is in lower case: `an_account_named_in_lower_case_is_the_same_account`
//! - provider names change case: `a_provider_that_changes_its_case_is_the_same_provider`
//! - the server normalises what was sent: `what_was_sent_is_not_taken_for_what_is`
//! - a field in Pascal case: `a_field_in_capitals_is_neither_fatal_nor_lost`
//! - null, empty and absent: `null_empty_and_absent_are_the_same_nothing`
//! - 404 of a group that is gone: `a_workspace_whose_group_is_gone_is_absent`
//!
//! Storage accounts (`storage`):
//! - the flag is mostly absent: `an_absent_flag_means_that_keys_are_allowed`
//! - the flag there and back, each 200 at once: `the_flag_goes_off_and_on_at_once_and_is_read_back`
//! - null in a request: `a_null_flag_means_allowed_and_is_never_sent`
//! - `Creating` and `ResolvingDns`, most properties lacking: `an_account_that_is_being_made_is_read`
//! - 202, plain text, only `Location`: `a_write_accepted_as_plain_text_is_followed_to_the_account`
//! - the same call answered 200: `a_write_answered_with_the_account_is_not_polled`
//! - `bypass` is a list in a text: `what_is_not_asked_for_may_have_any_form`
//! - `key1: null`: the same test
//! - identity, kinds and tags of any form: the same test
//! - `ID` in a part: `a_differently_cased_key_in_a_part_is_skipped`
//! - an id in its maker's case: `an_id_comes_back_in_its_makers_case`
//! - a list of 200 kB in one page: `a_large_list_is_one_page`
//!
//! Role assignments (`assignments`):
//! - 400 `PrincipalNotFound` that heals: `a_fresh_principal_is_propagating`
//! - 409 `RoleAssignmentExists`: `a_grant_that_exists_under_another_name_is_there`
//! - 201 over an existing one: `a_put_over_an_existing_assignment_answers_as_if_it_were_new`
//! - DELETE 200, 204, 404: `a_delete_tells_by_its_status_whether_there_was_anything`
//! - `createdBy` null or empty: `who_made_it_may_be_null_or_empty`
//! - inherited ones in the list: `only_the_scope_tells_where_an_assignment_was_made`
//! - ids at the root: `a_role_is_known_by_the_last_segment_of_its_id`
//! - names of management groups: `a_management_group_has_a_free_name_in_any_case`
//! - fields absent in old versions, null in new: `the_principals_type_and_the_condition_may_be_absent_or_null`
//! - a condition narrows: `a_condition_is_kept_with_its_assignment`
//! - `canDelegate`: `a_field_of_one_preview_is_skipped`
//! - doubled slashes: `a_doubled_slash_is_one_slash`
//! - hundreds in one page: `hundreds_of_assignments_are_one_page`
//!
//! Role definitions and locks (`locks`):
//! - two fields named `type`: `the_inner_type_tells_azures_own_roles`
//! - data actions absent, actions empty: `data_actions_may_be_absent_and_actions_empty`
//! - `roleName eq 'reader'` finds `Reader`: `a_role_is_asked_for_by_its_guid_whatever_its_name`
//! - empty successes, notes: `notes_may_be_absent_empty_or_text_and_a_success_may_be_empty`
//! - inherited locks in the list: `an_inherited_lock_shows_its_own_scope_in_its_id_only`
//! - a lock stops `listKeys`: `a_lock_in_the_way_is_a_refusal`
//!
//! Long-running operations (`operations`):
//! - addresses of 3,600 characters: `a_poll_address_of_thousands_of_characters_is_used_as_given`; that none is logged is
//!   in `tests/secrets.rs`, since a log that is caught wants a process of its own
//! - how workspaces do it: `a_workspaces_operation_is_followed_by_its_status_without_being_told_how_long_to_wait`
//! - failure inside 200: `a_failure_inside_a_success_is_a_failure`
//! - statuses in free text: `a_status_that_is_not_known_means_wait`
//! - other starts, and 202 with `Succeeded`: `an_operation_may_start_with_any_success_and_its_poll_may_say_202_when_it_is_done`
//! - other ends: `an_operation_may_end_without_a_body_with_the_resource_or_with_its_status_gone`
//! - a poll answers 500 or 504 once: `a_poll_that_fails_once_is_asked_again`
//! - `Updating` after `Succeeded`: `a_resource_may_still_be_updating_after_success_and_the_read_says_so`
//! - new addresses and waits on the way: `the_last_address_and_the_last_wait_count`
//! - `East US` raw in a header: `a_region_with_a_blank_is_encoded_and_nothing_else_is`
//! - the waits that were seen: `every_wait_that_was_seen_is_kept_and_none_is_no_wait`
//!
//! Errors and throttling (`errors`):
//! - envelopes: `every_envelope_gives_its_code`
//! - codes that are no words: `a_code_may_be_a_number_a_status_or_null`
//! - nested errors: `an_error_of_machine_learning_gives_one_of_its_codes`
//! - HTML and nothing: `a_page_of_html_and_an_empty_body_are_judged_by_their_status`
//! - JSON that is none, illegal escapes: `a_body_that_no_parser_takes_keeps_its_text`
//! - 429 without `Retry-After`: `busy_in_the_clothes_of_a_throttle_passes_soon`
//! - 429 of the storage provider: `a_throttle_of_the_storage_provider_is_waited_out`
//! - `x-ms-failure-cause`: `who_refused_may_be_told_or_not`
//! - rate-limit headers, repeated empty ones: `what_remains_is_read_in_both_generations_and_a_repeated_header_is_none`
//! - policies packed into the message: `a_policys_refusal_is_told_with_the_policies_in_its_text`
//! - who is named in a 403: `a_missing_right_is_a_refusal_whoever_is_named_and_whatever_it_is_about`
//! - 502, 503, 504 after a write: `a_write_that_the_gateway_lost_may_have_happened`
//! - a client error inside a 500: `a_client_error_hidden_in_a_500_stays_a_fault_of_the_server`
//!
//! Lists (`paging`):
//! - three spellings of the end: `absent_null_and_empty_mean_the_last_page`
//! - links of any encoding: `the_next_page_is_asked_for_at_the_link_as_it_is`
//! - short and empty pages: `a_short_or_empty_page_is_not_the_last`
//!
//! Resource Graph, metrics, activity log (`metrics`):
//! - `resultTruncated: "false"`, tables: `an_answer_of_resource_graph_is_never_a_list`
//! - quota headers of its own: `another_quotas_headers_close_nothing`
//! - `timeseries: []`: `no_series_at_all_is_not_zero`
//! - a timespan is replaced, fields come and go: `a_timespan_that_was_replaced_answers_another_question`
//! - bare errors with long messages: `an_error_of_metrics_is_bare_and_its_long_message_is_cut`
//! - several events of one operation: `of_the_events_of_one_operation_the_one_that_succeeded_tells`, and
//!   `events_of_the_activity_log_are_never_read_as_something_else`
//! - a bad `$filter`: `a_bad_filter_is_refused_with_its_bare_code`
//!
//! Tokens (`tokens`):
//! - texts and numbers: `a_life_is_read_from_text_and_from_number`
//! - `ext_expires_in`: `the_extended_life_is_not_believed`
//! - tokens of a day: `a_managed_identitys_token_may_last_a_day`
//! - error bodies: `an_error_of_entra_is_told_on_one_line_and_not_repeated`
//! - `authorization_pending`: `an_authorization_that_is_pending_gives_no_token`
//! - 401 with claims: `a_demand_for_claims_is_met_with_a_token_that_is_new_and_never_with_the_old_one`
//! - plain text from between: `plain_text_from_between_here_and_the_metadata_service_is_a_passing_fault`
//!
//! Formats in general (`formats`):
//! - dates: `every_spelling_of_a_date_is_the_same_moment`
//! - numbers and flags as texts: `numbers_and_flags_may_be_texts`
//! - header names: `a_header_is_found_in_any_case_and_may_be_repeated`
//! - `createdBy` in `systemData`: `who_changed_it_last_is_anybodys_name`
//! - HEAD: never sent; `a_status_without_a_body_proves_neither_presence_nor_absence`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod assignments;
mod errors;
#[allow(dead_code, reason = "shared with the other tests of the client")]
#[path = "../arm/fake.rs"]
mod fake;
mod formats;
mod locks;
mod metrics;
mod operations;
mod paging;
mod storage;
mod tokens;
mod with;
mod workspaces;
