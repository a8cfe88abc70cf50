"""The parent process: it starts, watches, replaces and stops the workers, and answers for them.

supervisor ─┬─▶ worker_process × N    each with the scoreboard that it writes
            ├─▶ engine                only where no Elasticsearch is given
            └─▶ admin ─┬─▶ totals     health, status, metrics: the scoreboards added up
                       └─▶ debug      profiles, stacks, buffers
"""
