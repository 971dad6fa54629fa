# SPDX-License-Identifier: MIT
# fish completion for mallocgc
set -l commands demo run stat types
complete -c mallocgc -f
complete -c mallocgc -n "not __fish_seen_subcommand_from $commands" -a demo -d 'Load JSON documents into the heap and report'
complete -c mallocgc -n "not __fish_seen_subcommand_from $commands" -a run -d 'Run a program with this heap as its malloc'
complete -c mallocgc -n "not __fish_seen_subcommand_from $commands" -a stat -d 'Print the malloc heap of a live process'
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
complete -c mallocgc -n '__fish_seen_subcommand_from run' -x -a '(__fish_complete_subcommand --fcs-skip=2)'
complete -c mallocgc -n '__fish_seen_subcommand_from run' -l report -d 'Print the heap at exit and on SIGUSR2'
complete -c mallocgc -n '__fish_seen_subcommand_from run' -l report-file -r -d 'Write the report there'
complete -c mallocgc -n '__fish_seen_subcommand_from run' -l leaks -d 'List unreachable blocks at exit'
complete -c mallocgc -n '__fish_seen_subcommand_from run' -l profile -r -d 'Sampled heap profile'
complete -c mallocgc -n '__fish_seen_subcommand_from run' -l profile-rate -x -d 'Bytes for each sample'
complete -c mallocgc -n '__fish_seen_subcommand_from run' -l limit -x -d 'Memory limit'
complete -c mallocgc -n '__fish_seen_subcommand_from run' -l harden -d 'Detect misuse of the heap'
complete -c mallocgc -n '__fish_seen_subcommand_from stat' -x -a '(__fish_complete_pids)'
complete -c mallocgc -n '__fish_seen_subcommand_from stat' -s j -l json -d 'One line of JSON'
