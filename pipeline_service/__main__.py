"""`python -m pipeline_service`: PipelineService until a signal."""

from common.rpc.run_service import run_service
from pipeline_service.bootstrap import pipeline_server
from pipeline_service.settings import PipelineServiceSettings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    run_service(PipelineServiceSettings, pipeline_server)


if __name__ == "__main__":
    main()
