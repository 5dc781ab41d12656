"""Collections on a Milvus server, for the tests that need one."""

import pytest


@pytest.fixture
def mortal_server(new_milvus_server):
    """A server of the test's own, which answers soon after it was killed and started again."""
    with new_milvus_server(session=6) as server:
        yield server


@pytest.fixture
def milvus_collection(milvus_server):
    """Makes an index on the server: milvus_collection(space, dim, **options); they are dropped at the end."""
    from horosphere.index.milvus import MilvusIndex

    made = []

    def new(space, dim, **options):
        name = f"test_{len(made)}"
        index = MilvusIndex.create(milvus_server.uri, name, space, dim, token=milvus_server.token, **options)
        made.append(name)
        return index

    yield new
    for name in made:
        MilvusIndex.connect(milvus_server.uri, name, token=milvus_server.token).drop()
