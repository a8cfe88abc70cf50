"""The ingest port: connections, the two doors that their requests go through, the answers.

acceptor ─▶ protocol ─┬─▶ hot_door ─▶ exchange ─▶ pipeline        POST /ingest…
                      └─▶ starlette_door ─▶ app                   everything else
"""
