2 M1e C6b02b1be
N          000000000000002C
From: bob@example.com
Subject: number 1

Hi


R6b02b1be
V30
G94e7b301beb1026b1855000083ecc375
BINBOX

N          000000000000002C
From: bob@example.com
Subject: number 2

Hi


R6b02b1be
V30
G71a92c03beb1026b1b55000083ecc375
BINBOX

N          000000000000002C
From: bob@example.com
Subject: number 3

Hi


R6b02b1be
V30
G001b8504beb1026b1e55000083ecc375
BINBOX

