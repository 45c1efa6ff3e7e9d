# SPDX-License-Identifier: MIT
# bash completion for viaduct
_viaduct() {
	local cur prev words cword
	_init_completion -s 2>/dev/null || {
		cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
		words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
	}
	if ((cword == 1)); then
		mapfile -t COMPREPLY < <(compgen -W 'run list inspect compat --help --version' -- "$cur")
		return
	fi
	local i
	for ((i = 2; i < cword; i++)); do
		[[ ${words[i]} == -- ]] && { # the program's own words
			if declare -F _command_offset >/dev/null && ((cword > i + 1)); then _command_offset $((i + 1)); else mapfile -t COMPREPLY < <(compgen -c -- "$cur"); fi
			return
		}
	done
	case ${words[1]} in
	inspect)
		case $prev in
		--profile) mapfile -t COMPREPLY < <(compgen -W 'full linux' -- "$cur") ;;
		--recording) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
		--device) mapfile -t COMPREPLY < <(compgen -W "$(viaduct list 2>/dev/null | sed -n 's/^\([^ ]*\) - .*/\1/p')" -- "$cur") ;;
		*) mapfile -t COMPREPLY < <(compgen -W '--device --host --sysfs --recording --registers --check --changes --diff --json --profile --help' -- "$cur") ;;
		esac
		;;
	list | compat) mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$cur") ;;
	run)
		case $prev in
		--profile) mapfile -t COMPREPLY < <(compgen -W 'full linux' -- "$cur") ;;
		--bars) mapfile -t COMPREPLY < <(compgen -W 'auto trap io' -- "$cur") ;;
		--memlock) mapfile -t COMPREPLY < <(compgen -W 'warn enforce' -- "$cur") ;;
		--snapshot) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
		--hugepages) mapfile -t COMPREPLY < <(compgen -W 'system emulate' -- "$cur") ;;
		--iommu) mapfile -t COMPREPLY < <(compgen -W 'intel spapr none' -- "$cur") ;;
		--check) mapfile -t COMPREPLY < <(compgen -W 'dma' -- "$cur") ;;
		--container) mapfile -t COMPREPLY < <(compgen -W 'type1 iommufd' -- "$cur") ;;
		--dma) mapfile -t COMPREPLY < <(compgen -W 'share copy' -- "$cur") ;;
		--device) mapfile -t COMPREPLY < <(compgen -W "$(viaduct list 2>/dev/null | sed -n 's/^\([^ ]*\) - .*/\1/p')" -- "$cur") ;;
		*) mapfile -t COMPREPLY < <(compgen -W '--device --profile --bars --memlock --dma --dma-entry-limit --vaddr-wait --hugepages --iommu --check --check-exit --container --iommu-test --in-process --report --snapshot --explain --help --' -- "$cur") ;;
		esac
		;;
	esac
}
complete -F _viaduct viaduct
