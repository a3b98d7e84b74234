"""From the member's files to checked tables.

text, tables: bytes to cells · reading: what a cell means · mapping, suggestions, columns: which column is which field ·
side_columns, validation, source_rows: cells to typed rows · row_rules, task_rows, doubts: rows to what a task takes ·
pseudonyms, member_table: what is learned from · scored_rows: what is to be scored
"""
