"""Writes an event file with TensorBoard's own writer and protobuf classes, with times and values fixed, so that the writer in
Sources/Host/Telemetry can be compared with it byte for byte.

    python make_events.py Tests/TelemetryTests/Goldens/events.tfevents
"""

import sys

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


def histogram(values, buckets=30):
    low, high = min(values), max(values)
    width = (high - low) / buckets
    limits = [high if k == buckets else low + width * k for k in range(1, buckets + 1)]
    counts = [0.0] * buckets
    for value in values:
        counts[min(buckets - 1, int((value - low) / width))] += 1
    return summary_pb2.HistogramProto(
        min=low, max=high, num=len(values), sum=sum(values), sum_squares=sum(v * v for v in values), bucket_limit=limits, bucket=counts)


def text(tag, content):
    return summary_pb2.Summary.Value(
        tag=tag + "/text_summary",
        metadata=summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text")),
        tensor=tensor_pb2.TensorProto(
            dtype=7, string_val=[content.encode()],
            tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])))


def main(path):
    def scalar(tag, number):
        return summary_pb2.Summary.Value(tag=tag, simple_value=number)
    events = [
        event_pb2.Event(wall_time=1700000000.25, file_version="brain.Event:2"),
        event_pb2.Event(wall_time=1700000000.5, step=301, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START)),
        event_pb2.Event(wall_time=1700000001.125, step=301, summary=summary_pb2.Summary(value=[
            scalar("reward", 0.46875), scalar("plugin/ratio_max", 1.1), scalar("loss", -0.0), scalar("kl_old_k3", float("nan")),
            histogram_value("completion_length", [3.0, 53.0, 38.0, 38.0, 17.0, 44.0]),
            text("samples", "**Wie viele Äpfel?**\n\n    32 - 31 = 1.\n"),
        ])),
        event_pb2.Event(wall_time=1700000002.0, step=100000, summary=summary_pb2.Summary(value=[scalar("reward", 1.0)])),
    ]
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())
        writer.flush()


def histogram_value(tag, values):
    return summary_pb2.Summary.Value(tag=tag, histo=histogram(values))


if __name__ == "__main__":
    main(sys.argv[1])
