"""What finds by meaning in one gateway, wired: the embedder in its thread, and the indexes of every partition."""

from __future__ import annotations

from server.embedding.async_embedder import AsyncEmbedder
from server.index.device import device_index
from server.index.growing import Growth
from server.index.partitions import PartitionLimits, Partitions
from server.outside import Outside
from server.reuse.tenant_directory import TenantDirectory
from server.reuse.vectors import VectorReader
from server.settings import Settings
from server.store.database import Database
from server.telemetry import Telemetry


def build_embedder(settings: Settings, outside: Outside, telemetry: Telemetry) -> AsyncEmbedder:
    """Wire the embedder that batches in a thread of its own."""
    return AsyncEmbedder(
        outside.embedder,
        batch_max=settings.embed_batch_max,
        queue_max=settings.embed_queue_max,
        timeout_s=settings.embed_timeout_s,
        observe=lambda report: telemetry.embed_batch.observe(report.size),
    )


def build_partitions(settings: Settings, outside: Outside, database: Database, tenants: TenantDirectory) -> Partitions:
    """Wire the indexes, which load what they search from the store."""
    vectors = VectorReader(
        database,
        tenants,
        outside.clock,
        embedder_digest=outside.embedder.digest,
        dimension=outside.embedder.dimension,
    )
    return Partitions(
        vectors.load_partition,
        dimension=outside.embedder.dimension,
        clock=outside.clock,
        limits=PartitionLimits(
            bytes_max=settings.index_bytes_max,
            load_wait_s=settings.index_load_timeout_s,
            threads=settings.index_threads,
            growth=Growth(device=device_index(settings.index_device, outside.embedder.dimension)),
        ),
        row_loader=vectors.load_rows,
    )
