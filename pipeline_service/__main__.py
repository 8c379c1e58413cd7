"""`python -m pipeline_service [--role api|worker|all]`: PipelineService until a signal."""

import argparse

from common.rpc.run_service import run_service
from pipeline_service.bootstrap import pipeline_server
from pipeline_service.settings import PipelineServiceSettings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="PipelineService. Settings come from the environment and .env.")
    parser.add_argument(
        "--role", choices=("api", "worker", "all"), help="answer calls, execute runs, or both (CONVERGENCE_ROLE)"
    )
    run_service(
        PipelineServiceSettings, pipeline_server, **{name: v for name, v in vars(parser.parse_args()).items() if v}
    )


if __name__ == "__main__":
    main()
