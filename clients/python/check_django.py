"""Django with pgvector-python: models, migrations made of them, HnswIndex and IvfflatIndex."""

import os

import django
from django.conf import settings
from rows import model_values
from shared import BITS, DIMENSIONS, FILTERED, INDEXES, ITEMS, LIMIT, QUERIES, Tried, answered, same, scans

tried = Tried("django")

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "USER": os.environ["PGUSER"],
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.db import connection, migrations, models  # noqa: E402
from django.db.migrations.autodetector import MigrationAutodetector  # noqa: E402
from django.db.migrations.executor import MigrationExecutor  # noqa: E402
from django.db.migrations.loader import MigrationLoader  # noqa: E402
from django.db.migrations.questioner import MigrationQuestioner  # noqa: E402
from django.db.migrations.state import ModelState, ProjectState  # noqa: E402
from pgvector.django import (  # noqa: E402
    BitField, CosineDistance, HalfVectorField, HammingDistance, HnswIndex, IvfflatIndex, JaccardDistance,
    L1Distance, L2Distance, MaxInnerProduct, SparseVectorField, VectorExtension, VectorField,
)

DISTANCES = {
    "l2": L2Distance, "ip": MaxInnerProduct, "cosine": CosineDistance, "l1": L1Distance,
    "hamming": HammingDistance, "jaccard": JaccardDistance,
}


def index(column, kind, metric):
    """For half of the classes that ivfflat has an IvfflatIndex, else a HnswIndex."""
    of = {"name": f"{column}_{metric}", "fields": [column], "opclasses": [f"{kind}_{metric}_ops"]}
    if metric in ("ip", "hamming") and kind != "sparsevec":
        return IvfflatIndex(lists=100, **of)
    return HnswIndex(m=16, ef_construction=64, **of)


class Item(models.Model):
    id = models.BigIntegerField(primary_key=True)
    category = models.IntegerField()
    embedding = VectorField(dimensions=DIMENSIONS)
    half = HalfVectorField(dimensions=DIMENSIONS)
    sparse = SparseVectorField(dimensions=DIMENSIONS)
    bits = BitField(length=BITS)

    class Meta:
        app_label = "shop"
        indexes = [index(*of) for of in INDEXES]


def migrate():
    """What "makemigrations" finds for the model, behind CREATE EXTENSION, is carried out."""
    wanted = ProjectState()
    wanted.add_model(ModelState.from_model(Item))
    loader = MigrationLoader(connection)
    changes = MigrationAutodetector(ProjectState(), wanted, MigrationQuestioner(specified_apps={"shop"})).changes(graph=loader.graph)
    first = changes["shop"][0]
    first.operations.insert(0, VectorExtension())
    state = MigrationExecutor(connection).loader.project_state()
    with connection.schema_editor(atomic=True) as editor:
        first.apply(state, editor)
    assert any(isinstance(operation, (migrations.CreateModel, migrations.AddIndex)) for operation in first.operations)


with tried("a migration: extension, table, HnswIndex, IvfflatIndex"):
    migrate()
with tried("objects are created, one and many"):
    Item.objects.create(id=ITEMS[0].id, category=ITEMS[0].category, **model_values(ITEMS[0]))
    Item.objects.bulk_create(Item(id=row.id, category=row.category, **model_values(row)) for row in ITEMS[1:])
with tried("what is read is what was written"):
    for item, row in zip(Item.objects.order_by("id"), ITEMS):
        same([item.id, list(item.embedding), item.bits], [row.id, row.embedding, row.bits])
        same([list(item.half), item.sparse.to_list()], [row.embedding, row.embedding])
for column, _kind, metric in INDEXES:
    with tried(f"search {column} {metric}"):
        for number, query in enumerate(QUERIES):
            nearest = Item.objects.annotate(distance=DISTANCES[metric](column, model_values(query)[column])).order_by("distance")
            answered(metric, number, list(nearest.values_list("id", "distance")[:LIMIT]))
            within = nearest.filter(category=1)
            answered(metric, number, list(within.values_list("id", "distance")[:FILTERED]), filtered=True)
        scans(within[:FILTERED].explain().splitlines(), f"{column}_{metric}")
with tried("rows within a distance, avg"):
    near = Item.objects.alias(distance=L2Distance("embedding", QUERIES[0].embedding)).filter(distance__lt=5).order_by("distance")
    ids = list(near.values_list("id", flat=True))
    same(ids[:3], list(Item.objects.order_by(L2Distance("embedding", QUERIES[0].embedding)).values_list("id", flat=True)[:3]))
    same(len(Item.objects.aggregate(mean=models.Avg("embedding"))["mean"]), DIMENSIONS)
tried.done()
