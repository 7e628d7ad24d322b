"""Compressing the files of a DataHub in the DataHub itself: a compressed copy in, proven, and the original out.

One file goes this way, and a process may die between any two steps:

    read the original -> compress -> [uploading] -> POST -> [uploaded] -> read the copy, and the original again, and
    compare -> [proven] -> DELETE the original -> [done]

The words in brackets are committed to the ledger before the step behind them. `table` reads `dh_file`, `ledger` keeps
the words, `packing` makes the compressed bytes, `proof` reads back, `replacing` walks the way for one file, `month`
for all files of a month, whose lease (`lock`) one process holds. What lies in the DataHub is deleted for two reasons
alone: an original whose copy was proven, and a copy that carries a mark of this ledger and whose original is there.
"""
