# SPDX-License-Identifier: MIT
# bash completion for mallocgc
_mallocgc() {
  local cur=${COMP_WORDS[COMP_CWORD]} command='' word
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) ;; *) command=$word; break ;; esac
  done
  case $command in
    '') COMPREPLY=($(compgen -W 'demo run stat types --help --version' -- "$cur")) ;;
    run)
      case $cur in
        -*) COMPREPLY=($(compgen -W '--report --report=json --report-file= --leaks
                --profile= --profile-rate= --limit= --harden --help' -- "$cur")) ;;
        */*) COMPREPLY=($(compgen -f -- "$cur")) ;;
        *) COMPREPLY=($(compgen -c -- "$cur")) ;;
      esac ;;
    stat)
      case $cur in
        -*) COMPREPLY=($(compgen -W '--json --help' -- "$cur")) ;;
        *) COMPREPLY=($(compgen -W "$(cd /proc && echo [0-9]*)" -- "$cur")) ;;
      esac ;;
    types)
      case $cur in
        -*) COMPREPLY=($(compgen -W '--json --all --type --help' -- "$cur")) ;;
        *) COMPREPLY=($(compgen -f -- "$cur")) ;;
      esac ;;
    demo)
      case $cur in
        -*) COMPREPLY=($(compgen -W '--json --rounds --threads --help' -- "$cur")) ;;
        *) COMPREPLY=($(compgen -f -X '!*.json' -- "$cur")
                      $(compgen -d -- "$cur")) ;;
      esac ;;
  esac
}
complete -o filenames -F _mallocgc mallocgc
