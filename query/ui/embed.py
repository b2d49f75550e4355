#!/usr/bin/env python3
"""Writes the files of the page as C arrays: embed.py OUT.c OUT.h FILE..."""
import os
import sys

out_c, out_h, files = sys.argv[1], sys.argv[2], sys.argv[3:]
head = ['/* Made by query/ui/embed.py. */', '#ifndef PW_QUERY_UI_FILES_H', '#define PW_QUERY_UI_FILES_H', '',
        '#include "base/types.h"', '']
body = ['/* Made by query/ui/embed.py. */', '#include "query/ui_files.h"', '']
for path in files:
    name = os.path.basename(path).replace('.', '_').replace('-', '_')
    data = open(path, 'rb').read()
    head.append(f'struct pw_slice pw_ui_{name}(void);')
    body.append(f'static const uint8_t {name}[] = {{')
    for i in range(0, len(data), 24):
        body.append('    ' + ''.join(f'{b},' for b in data[i:i + 24]))
    body += ['};', '', 'struct pw_slice', f'pw_ui_{name}(void)', '{',
             f'    return (struct pw_slice){{{name}, sizeof({name})}};', '}', '']
head += ['', '#endif', '']
open(out_h, 'w').write('\n'.join(head))
open(out_c, 'w').write('\n'.join(body))
