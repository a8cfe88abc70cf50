"""From a batch to the outcome of each of its documents.

batch ─▶ bulk_writer ─▶ cluster ─▶ Elasticsearch ─▶ bulk_response ─▶ outcomes ─┬─▶ settled
              ▲                                                                ├─▶ dead_letters
              └────────────────────────── again ───────────────────────────────┘
"""
