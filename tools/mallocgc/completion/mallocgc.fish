# SPDX-License-Identifier: MIT
# fish completion for mallocgc
set -l commands demo types
complete -c mallocgc -f
complete -c mallocgc -n "not __fish_seen_subcommand_from $commands" -a demo -d 'Load JSON documents into the heap and report'
complete -c mallocgc -n "not __fish_seen_subcommand_from $commands" -a types -d 'List the type descriptors of a program'
complete -c mallocgc -n "not __fish_seen_subcommand_from $commands" -l help -d 'Help'
complete -c mallocgc -n "not __fish_seen_subcommand_from $commands" -l version -d 'Version'
complete -c mallocgc -n '__fish_seen_subcommand_from demo' -F
complete -c mallocgc -n '__fish_seen_subcommand_from types' -F
complete -c mallocgc -n '__fish_seen_subcommand_from types' -s j -l json -d 'One JSON document'
complete -c mallocgc -n '__fish_seen_subcommand_from types' -s a -l all -d 'Also pointer types'
complete -c mallocgc -n '__fish_seen_subcommand_from types' -s t -l type -x -d 'Only this type'
complete -c mallocgc -n '__fish_seen_subcommand_from demo' -l json -d 'The figures as JSON'
complete -c mallocgc -n '__fish_seen_subcommand_from demo' -s r -l rounds -x -d 'Rounds of editing'
complete -c mallocgc -n '__fish_seen_subcommand_from demo' -s t -l threads -x -d 'Threads'
