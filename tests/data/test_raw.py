"""A file's texts together are the file, and a row that is written anew reads as what was written."""

import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.data.files import Record, records
from luthier.data.raw import Form, opened

CELL = st.text(st.sampled_from("ab,;\t\"'\n\r é"), max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(CELL, CELL), max_size=6),
    separator=st.sampled_from(",;\t"),
    ending=st.sampled_from(["\n", "\r\n"]),
    mark=st.booleans(),
)
def test_head_and_rows_are_the_file_and_a_changed_row_reads_back(tmp_path_factory, rows, separator, ending, mark):
    path = tmp_path_factory.mktemp("raw") / ("t.tsv" if separator == "\t" else "t.csv")
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=separator, lineterminator=ending, quoting=csv.QUOTE_ALL).writerows(
        [("one", "two"), *rows]
    )
    path.write_text(stream.getvalue(), encoding="utf-8-sig" if mark else "utf-8", newline="")
    with opened(str(path)) as (form, found):
        written = list(found)
    whole = form.head + "".join(one.text for one in written)
    assert bytes.fromhex(form.mark) + form.encoded(whole) == path.read_bytes()
    anew = path.with_stem("anew")
    again = form.head + "".join(form.row(one.row.values, one.text) for one in written if isinstance(one.row, Record))
    anew.write_bytes(form.encoded(again))
    assert [row.values for row in records(anew)] == [one.row.values for one in written]


def test_a_column_is_added_to_the_names_alone():
    form = Form("table", separator=";", head='\n"one; two";b\r\n\r\n').with_column("weight")
    assert form.head == '"one; two";b;weight\r\n\r\n'
    assert Form("lines", head="\n").with_column("weight").head == "\n"
