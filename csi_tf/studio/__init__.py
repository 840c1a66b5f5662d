"""A page to paint holes on and to move latents: python run.py --mode=studio

serve.py    starts it            page.py    what is on it
actions.py  what it does         desk.py    what one works on
engine.py   what is drawn        canvas.py  pixels to paint on
api.py      the same for programs           ../session.py  what is saved
"""
