"""Five worked examples in the form of the data set, written for this package.

The data set's own training questions are not needed, and every question gets the same examples,
whatever the order in which questions are asked.
"""

from __future__ import annotations

EXAMPLES = (
    {
        "question": "A bakery sells 14 loaves in the morning and half as many in the afternoon. "
        "Each loaf costs $3. How much money does the bakery take in that day?",
        "answer": "In the afternoon it sells 14 / 2 = <<14/2=7>>7 loaves.\n"
        "In the whole day it sells 14 + 7 = <<14+7=21>>21 loaves.\n"
        "It takes in 21 * 3 = $<<21*3=63>>63.\n#### 63",
    },
    {
        "question": "Nora has 5 boxes of 12 pencils. She gives 3 pencils to each of her 8 friends. "
        "How many pencils does she have left?",
        "answer": "She has 5 * 12 = <<5*12=60>>60 pencils.\n"
        "She gives away 3 * 8 = <<3*8=24>>24 pencils.\n"
        "She has 60 - 24 = <<60-24=36>>36 pencils left.\n#### 36",
    },
    {
        "question": "A tank holds 240 litres. A pump fills it at 15 litres per minute, and a leak "
        "loses 3 litres per minute. How many minutes does it take to fill the empty tank?",
        "answer": "The tank gains 15 - 3 = <<15-3=12>>12 litres per minute.\n"
        "It takes 240 / 12 = <<240/12=20>>20 minutes.\n#### 20",
    },
    {
        "question": "Tom reads 18 pages on Monday, twice as many on Tuesday, and 6 pages fewer on "
        "Wednesday than on Tuesday. How many pages does he read in these three days?",
        "answer": "On Tuesday he reads 18 * 2 = <<18*2=36>>36 pages.\n"
        "On Wednesday he reads 36 - 6 = <<36-6=30>>30 pages.\n"
        "He reads 18 + 36 + 30 = <<18+36+30=84>>84 pages.\n#### 84",
    },
    {
        "question": "A shirt costs $40. Its price is raised by 25%, and then lowered by 10%. What "
        "does the shirt cost in the end, in dollars?",
        "answer": "The raise is 40 * 25 / 100 = $<<40*25/100=10>>10, which makes 40 + 10 = "
        "$<<40+10=50>>50.\nThe reduction is 50 * 10 / 100 = $<<50*10/100=5>>5.\n"
        "In the end it costs 50 - 5 = $<<50-5=45>>45.\n#### 45",
    },
)
