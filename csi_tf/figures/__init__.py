"""The paper's figures, and others.

figure3.py ...      one file each, from arrays to an image: no model code
arrays.py           the arrays behind them, drawn by models
models.py           which models there are      paper.py   --mode=figures
panels.py           the same, small, while a model trains
contact_sheet.py    --mode=data                 curves.py  of a training      layout.py   of all
"""
