import pytest
import samples
from nbformat import NotebookNode


@pytest.fixture(scope="session")
def good() -> NotebookNode:
    """A chapter that keeps every rule; copy it before changing it."""
    return samples.chapter()
