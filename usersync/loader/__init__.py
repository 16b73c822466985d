"""Read files of user changes into one table.

load                                the order of it all: fetch, unpack, read, map headings, join files
remote, unpack                      addresses; .gz and .zip
encoding, encoding_guess            bytes -> UTF-8
csv_dialect, csv_hints              delimiter, quote, escape, header
csv_scan, csv_parser, csv_records   lines -> records, and what damage leaves of them
csv_reader                          a text file -> RawSheet
workbook_package, workbook_sheets   a workbook of any format -> values and cell info (xlsx, xlsb, xls, ods)
workbook_selection, workbook        its sheet -> RawSheet
headings, repeated_headers          headings -> fields
dataframe, row_filter               a DataFrame -> RawSheet; --where and --skip
template, template_example          an empty workbook to fill in; its example row
"""

from usersync.loader.load import load

__all__ = ["load"]
