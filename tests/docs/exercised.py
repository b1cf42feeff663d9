"""How each command of the pages is exercised: what it starts, which test runs that, and why not here if it is long."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Covered:
    """A command that is not run as it stands, because of what it takes.

    Attributes:
        entry: what it starts, as it stands in what make would run.
        test: the test that starts the same, or, where the command takes what no test has, runs the logic behind it.
        takes: what that is.
    """

    entry: str
    test: str
    takes: str | None = None


_LOCAL = "tests/integration/test_local.py"
_CAPACITY = "tests/load/test_capacity.py"
_SCENARIOS = "tests/load/test_scenarios.py"
_TERRAFORM = "tests/infra/test_terraform.py"
_IMAGES = "tests/manifests/test_images.py"
_CI = "the whole suite; CI runs it, see .ci/run"

# By target. Every one is also asked of make, and the flags it is given of the program it starts.
MAKE = {
    "": Covered("make", "tests/docs/test_commands.py::test_make_lists_every_target_that_a_page_names"),
    "run": Covered(
        "local/stack.py",
        "tests/integration/test_stack.py::test_the_seeds_request_is_answered_and_cached_and_ctrl_c_ends_everything",
    ),
    "test": Covered("pytest", "tests/docs/test_commands.py::test_ci_runs_the_checks", _CI),
    "lint": Covered("lint", "tests/docs/test_commands.py::test_ci_runs_the_checks", _CI),
    "format": Covered("ruff format", "tests/docs/test_commands.py::test_ci_runs_the_checks", "a tree to change"),
    "demo": Covered("local.demo", f"{_LOCAL}::test_demo_shows_the_seeds_answer_and_a_table"),
    "docs": Covered(
        "local.docs", "tests/observability/test_metrics.py::test_pages_say_what_the_code_does", "a tree to change"
    ),
    "dashboards": Covered(
        "monitoring.generate",
        "tests/observability/test_boards.py::test_regenerating_changes_nothing",
        "a tree to change",
    ),
    "dashboards-preview": Covered(
        "local.preview", "tests/observability/test_evaluation.py::test_preview_draws_every_panel_of_the_services"
    ),
    "e2e": Covered(
        "e2e.run", "tests/e2e/test_e2e.py::test_healthy_cluster_passes_every_check_and_is_left_as_found", "a cluster"
    ),
    "cluster-e2e": Covered(
        "e2e.run",
        "tests/e2e/test_e2e.py::test_healthy_cluster_passes_every_check_and_is_left_as_found",
        "the cluster of `make cluster`",
    ),
    "images": Covered(
        "build.sh", f"{_IMAGES}::test_build_script_prefers_what_is_there_and_says_what_it_does", "a builder of images"
    ),
    "images-check": Covered(
        "check.py",
        f"{_IMAGES}::test_predictor_answers_without_what_its_image_leaves_out",
        "root, buildah, debootstrap, minutes",
    ),
    "images-platforms": Covered(
        "manifests.images.platforms",
        "tests/manifests/test_platforms.py::test_what_one_platform_alone_gets_is_named",
        "uv and the package index",
    ),
    "base-digest": Covered("pin-base.sh", f"{_IMAGES}::test_base_is_pinned_to_what_the_registry_says", "a registry"),
    "up": Covered("up.sh", "tests/infra/test_up.py::test_one_command_goes_from_nothing_to_an_answer", "a subscription"),
    "down": Covered("down.sh", "tests/infra/test_up.py::test_down_asks_and_destroys_what_it_planned", "a subscription"),
    "kind-up": Covered(
        "kind.sh", "tests/infra/test_kind.py::test_up_goes_from_nothing_to_a_prediction", "docker, kind"
    ),
    "kind-down": Covered("kind.sh", "tests/infra/test_kind.py::test_down_removes_its_own_cluster", "docker, kind"),
    "cluster": Covered(
        "node.py up",
        "tests/single_node/test_going_down.py::test_a_program_that_ends_is_started_again_and_the_others_are_left_alone",
        "root, Go, half an hour the first time",
    ),
    "cluster-status": Covered("node.py status", "tests/single_node/test_going_down.py::test_status_says_down", "root"),
    "cluster-table": Covered(
        "table.py", "tests/single_node/test_table.py::test_an_object_is_told_line_by_line", "the cluster"
    ),
    "cluster-test": Covered(
        "tests/cluster", "tests/cluster/test_node.py::test_a_pod_is_confined_as_it_asks", "the cluster"
    ),
    "cluster-down": Covered("node.py down", "tests/single_node/test_going_down.py::test_nothing_is_left", "root"),
    "infra-cost": Covered(
        "infra.offline.workspace", f"{_TERRAFORM}::test_the_readme_states_the_price_that_the_code_computes", "a minute"
    ),
    "infra-lint": Covered(
        "infra.offline.workspace", f"{_TERRAFORM}::test_configuration_is_formatted_and_valid", "a minute"
    ),
    "infra-test": Covered("infra.offline.workspace", f"{_TERRAFORM}::test_promises_hold", "a minute"),
    "load": Covered("load.run", f"{_SCENARIOS}::test_load_run_writes_results_and_the_machine"),
    "load-report": Covered(
        "load.report", "tests/load/test_report.py::test_the_command_says_when_there_is_nothing_to_report"
    ),
    "load-testrun": Covered(
        "load.testrun", f"{_SCENARIOS}::test_the_testrun_carries_a_runnable_archive_and_its_log_can_be_reported"
    ),
    "load-calibrate": Covered(
        "load.capacity",
        "tests/load/test_local_stack.py::test_calibration_gives_service_times_that_a_plan_can_read",
        "six quiet minutes",
    ),
    "load-curve": Covered("load.capacity", f"{_CAPACITY}::test_curve_and_recommend_write_their_pages"),
    "load-simulate": Covered("load.capacity", f"{_CAPACITY}::test_simulate_writes_json_page_and_plot"),
    "load-recommend": Covered("load.capacity", f"{_CAPACITY}::test_curve_and_recommend_write_their_pages"),
    "load-pods": Covered("load.capacity", f"{_CAPACITY}::test_pods_are_compared_by_price_and_p99"),
    "load-validate": Covered(
        "load.capacity",
        f"{_CAPACITY}::test_a_quota_is_written_as_the_cgroup_version_wants_it",
        "root, cgroups, 12 minutes",
    ),
    "load-reports": Covered(
        "load.campaign", "tests/load/test_campaign.py::test_runs_use_known_scenarios_and_settings", "45 quiet minutes"
    ),
    "bench-transformer": Covered(
        "metrics_cost.py",
        "tests/unit/transformer/test_metrics.py::test_benchmark_of_their_cost_measures_hits",
        "wrk, minutes on a quiet machine",
    ),
    "bench-predictor": Covered(
        "predictor_server.py",
        "tests/integration/test_predictor_process.py"
        "::test_the_benchmarks_clients_see_every_answer_and_the_time_beside_inference",
        "minutes on a quiet machine",
    ),
    "quantize": Covered(
        "quantize.py",
        "tests/model/test_quantize.py::test_a_users_unlabelled_texts_calibrate_and_decide",
        "a hub, where MODEL is a hub's id",
    ),
    "bench-families": Covered(
        "families.py", "tests/load/test_benches.py::test_families_are_measured_beside_the_pipeline", "quiet minutes"
    ),
    "bench-hot-texts": Covered(
        "hot_texts.py",
        "tests/load/test_benches.py::test_waits_at_hot_entries_ends_are_told_by_interval",
        "four minutes on a quiet machine",
    ),
    "parity": Covered(
        "parity_table.py", "tests/load/test_benches.py::test_parity_is_told_by_family_and_head", "three minutes"
    ),
    "bench-peers": Covered(
        "load.bench.peers",
        "tests/load/test_peers.py::test_every_case_asks_known_and_new_texts_in_its_proportion",
        "packages from the index, 20 minutes on a quiet machine",
    ),
    "bench-tail": Covered(
        "load.bench.tail",
        "tests/load/test_tail.py::test_the_relay_hands_everything_on_and_notes_calls_by_their_request_id",
        "minutes on a quiet machine",
    ),
    "bench-pods": Covered(
        "pod_sizes.py",
        "tests/load/test_pod_sizes.py::test_clients_are_spread_over_the_predictors_and_every_answer_counts",
        "two CPUs, minutes on a quiet machine",
    ),
    "bench-against": Covered(
        "load.bench.against",
        "tests/load/test_against.py::test_cpu_time_of_another_process_is_what_that_process_says",
        "wrk, another commit, minutes",
    ),
    "overload": Covered(
        "tests/chaos/overload.py",
        "tests/chaos/test_limits.py::test_flood_of_new_texts_is_refused_at_once_and_leaves_cached_ones_alone",
        "a minute's flood",
    ),
    "audit": Covered(
        "constraints.txt", "tests/security/test_supply_chain.py::test_every_dependency_is_pinned", "a public service"
    ),
    "sbom": Covered(
        "pyproject", "tests/security/test_supply_chain.py::test_every_dependency_is_pinned", "packages from the index"
    ),
    "security": Covered("tests/security", "tests/security/test_supply_chain.py::test_bandit_finds_nothing", _CI),
    "fuzz": Covered(
        "tests/fuzz",
        "tests/fuzz/test_strangers_bytes.py::test_no_bytes_break_a_promise",
        "half an hour; each test is part of the suite, short",
    ),
}

# By what comes after `python`.
PYTHON = {
    "model-artifacts/fetch.py": Covered(
        "fetch.py", "tests/model/test_fetch.py::test_a_directory_that_is_there_is_not_fetched_again", "a hub"
    ),
    "model-artifacts/train.py": Covered("train.py", "tests/model/test_train.py::test_training_learns", "24 minutes"),
    "load.report": MAKE["load-report"],
    "load.capacity.expiry": Covered("load.capacity.expiry", "tests/load/test_expiry.py::test_command_prints_a_table"),
    "transformer.cache_admin": Covered(
        "transformer.cache_admin",
        "tests/integration/test_cache_admin.py::test_counts_samples_sizes_and_deletes_by_version",
    ),
    "examples/batch/score.py": Covered(
        "score.py",
        "tests/integration/test_batch_scoring.py::test_every_text_has_its_row_in_order_and_a_blank_one_an_empty_one",
        "a running service",
    ),
}
# Run here, as they stand: see the test that is named like them.
PYTHON_RUN = ("manifests/render.py", "predictor", "transformer")

# Shell scripts; up.sh is run here, dry.
SCRIPTS = {
    "infra/platform/install.sh": Covered(
        "install.sh", "tests/infra/test_install.py::test_from_starts_there_and_only_does_one", "a cluster"
    ),
    "infra/platform/doctor.sh": Covered(
        "doctor.sh", "tests/infra/test_doctor.py::test_a_healthy_cluster_is_all_well", "a cluster"
    ),
}

# By their first words: nothing here can run them, and no logic of ours is behind them.
FOREIGN = {
    ("az", "login"): "a subscription",
    ("az", "aks", "stop"): "a subscription",
    ("kind", "create", "cluster"): "docker; tests/infra/test_kind.py holds the page to the script",
    ("bash",): "KServe's own install, whose address is held to versions.env by tests/infra/test_kind.py",
    ("kind", "load", "docker-image"): "a kind cluster; the images' names are those of the manifests' settings",
    ("cut", "-d/", "-f3"): "nothing; it takes the host out of a URL",
}
