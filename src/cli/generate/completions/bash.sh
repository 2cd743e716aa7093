# Stages and their parameters, in the :: form and inside a quoted pipeline.

# The words that a stage takes.
_highwater_parameters() {
    case $1 in
@PARAMETERS@
    esac
}

# Puts into COMPREPLY what can stand at the end of a stage. $1: the stage so far; $2: whether it is the first;
# $3: the word at its end.
_highwater_stage() {
    local stage=$1 is_first=$2 word=$3 name
    read -r name _ <<< "$stage"
    if [[ -z $name || ( $name == "$word" && $stage != *[[:space:]] ) ]]; then
        local names='@LATER@'
        [[ $is_first == yes ]] && names='@FIRST@'
        # By topic.
        compopt -o nosort 2> /dev/null
        COMPREPLY=($(compgen -W "$names" -- "$word"))
        return
    fi
    COMPREPLY=($(compgen -W "$(_highwater_parameters "$name")" -- "$word"))
    if [[ $name == read || $name == write ]]; then
        local path
        while IFS= read -r path; do
            [[ -d $path ]] && path+=/
            COMPREPLY+=("$path")
        done < <(compgen -f -- "${word#path=}")
        COMPREPLY+=($(compgen -W '@ENDPOINTS@' -- "$word"))
    fi
}

# Inside quotes: $1 is the pipeline so far. What is answered begins with all of it.
_highwater_quoted() {
    local pipeline=$1 is_first=yes word head at
    local stage=${pipeline##*|}
    [[ $pipeline == *'|'* ]] && is_first=no
    word=${stage##*[[:space:]]}
    head=${pipeline%"$word"}
    _highwater_stage "$stage" "$is_first" "$word"
    # The only answer would close the quote; a second one that begins alike keeps it open.
    if [[ ${#COMPREPLY[@]} -eq 1 ]]; then
        COMPREPLY+=("${COMPREPLY[0]} |")
    fi
    for at in "${!COMPREPLY[@]}"; do
        COMPREPLY[at]=$head${COMPREPLY[at]}
    done
    compopt -o nospace 2> /dev/null
}

_highwater_with_stages() {
    local line=${COMP_LINE:0:COMP_POINT} current=$2
    COMPREPLY=()
    # A quote that is open.
    if [[ $line =~ ^[^\'\"]*[\'\"]([^\'\"]*)$ ]]; then
        _highwater_quoted "${BASH_REMATCH[1]}"
        return
    fi
    local -a words
    read -ra words <<< "$line"
    local word=
    if [[ $line != *[[:space:]] ]]; then
        word=${words[${#words[@]} - 1]}
        unset 'words[${#words[@]} - 1]'
    fi
    # Where the pipeline begins: at the first word that is no option, nor the value of one.
    local at=1 is_explain=no
    while [[ $at -lt ${#words[@]} ]]; do
        case ${words[at]} in
            explain) is_explain=yes ;;
            -*) [[ " @VALUED@ " == *" ${words[at]} "* ]] && at=$((at + 1)) ;;
            *) break ;;
        esac
        at=$((at + 1))
    done
    case ${words[at]-} in
        stages)
            COMPREPLY=($(compgen -W '@ALL@' -- "$word"))
            return
            ;;
        demo | ctl | report | generate | check | \'* | \"*)
            _highwater "$@"
            return
            ;;
        '')
            # The first word of a pipeline, or an option or its value.
            if [[ $at -gt ${#words[@]} || $word == -* ]]; then
                _highwater "$@"
                return
            fi
            local -a others=()
            if [[ $is_explain == no ]]; then
                _highwater "$@"
                [[ -n $word ]] && others=("${COMPREPLY[@]}")
            fi
            _highwater_stage '' yes "$word"
            COMPREPLY+=("${others[@]}")
            return
            ;;
    esac
    local stage= is_first=yes part
    for part in "${words[@]:at}"; do
        if [[ $part == :: ]]; then
            stage= is_first=no
        else
            stage+="$part "
        fi
    done
    _highwater_stage "$stage$word" "$is_first" "$word"
    # Where bash parts words (at = and :), what stands before is not answered again.
    local before=${word%"$current"}
    for at in "${!COMPREPLY[@]}"; do
        [[ ${COMPREPLY[at]} == *[=/] ]] && compopt -o nospace 2> /dev/null
        COMPREPLY[at]=${COMPREPLY[at]#"$before"}
    done
}

complete -F _highwater_with_stages -o bashdefault -o default highwater
