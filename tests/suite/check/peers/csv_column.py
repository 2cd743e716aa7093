import csv
import sys

for row in csv.DictReader(sys.stdin):
    print(row["name"])
