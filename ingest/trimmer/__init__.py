"""What is too long for Elasticsearch, and what becomes of it.

index_templates ─▶ composition ─▶ index_mapping ─▶ field_rules        once a template
                                  analysis, terms      │
line ─▶ json_spans ─▶ trimmer ◀────────────────────────┘              once a long line
        json_text
"""
