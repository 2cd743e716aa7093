# Stages and their parameters, in the :: form and inside a quoted pipeline.

_highwater_stages=(
@STAGES@
)

# What they are looked for under: names behind each heading.
_highwater_topics=(
@TOPICS@
)

# Offers those of the stages that are named, by topic.
_highwater_offer() {
    local topic
    local -a reply names
    for topic in $_highwater_topics; do
        names=(${=topic#*:})
        names=(${names:*argv})
        (( $#names )) || continue
        reply=(${(M)_highwater_stages:#(${(j:|:)~names}):*})
        _describe -V -t "stages-${${topic%%:*}// /-}" "${topic%%:*}" reply
    done
}

_highwater_parameters() {
    case $1 in
@PARAMETERS@
    esac
}

_highwater_values() {
    case $1:$2 in
@VALUES@
    esac
}

# Completes the last of the words of a pipeline. $1: whether its first stage is the chain's first.
_highwater_pipeline() {
    local is_first=$1 at begin=1
    local -a reply
    for (( at = 1; at < CURRENT; at++ )); do
        if [[ $words[at] == '::' ]]; then
            is_first=no
            begin=$(( at + 1 ))
        fi
    done
    if (( begin == CURRENT )); then
        local names='@LATER@'
        [[ $is_first == yes ]] && names='@FIRST@'
        _highwater_offer ${=names}
        return
    fi
    local name=$words[begin]
    if [[ $words[CURRENT] == [a-z][a-z0-9-]#=* || $words[CURRENT] == [a-z]##=* ]]; then
        local key=${words[CURRENT]%%=*}
        compset -P '*='
        _highwater_values $name $key
        (( $#reply )) && compadd -a reply && return
        _files
        return
    fi
    _highwater_parameters $name
    _describe -t parameters 'parameter' reply -S ''
    if [[ $name == (read|write) ]]; then
        compadd -S '' -- @ENDPOINTS@
        _files
    fi
}

_highwater() {
    local at=2 is_explain=no
    # Where the pipeline begins: at the first word that is no option, nor the value of one.
    while (( at < CURRENT )); do
        case $words[at] in
            explain) is_explain=yes ;;
            -*) (( ${${=:-@VALUED@}[(Ie)$words[at]]} )) && (( at++ )) ;;
            *) break ;;
        esac
        (( at++ ))
    done
    if (( at > CURRENT )) || [[ $words[CURRENT] == -* && $at -eq $CURRENT ]]; then
        _highwater_options "$@"
        return
    fi
    case $words[at] in
        demo|ctl|report|generate)
            _highwater_options "$@"
            return
            ;;
        check)
            if (( CURRENT > at )); then
                shift $(( at - 1 )) words
                (( CURRENT -= at - 1 ))
                local curcontext=$curcontext
                _arguments -S : \
@CHECK@
                    '*:::program:_normal'
                return
            fi
            _highwater_options "$@"
            return
            ;;
        stages)
            if (( CURRENT == at + 1 )); then
                _highwater_offer ${=:-@ALL@}
                return
            fi
            ;;
        [\'\"]*)
            if (( at == CURRENT )); then
                compset -q
                # zsh parts the words but drops the bars, so the last stage is taken from the text before the cursor.
                local head=${QIPREFIX#[\'\"]} is_first=yes
                [[ $head == *'|'* ]] && is_first=no
                words=(${=head##*\|} "$PREFIX")
                CURRENT=$#words
                _highwater_pipeline $is_first
            else
                _highwater_options "$@"
            fi
            return
            ;;
    esac
    if (( at == CURRENT )) && [[ $is_explain == no ]]; then
        _highwater_options "$@"
    fi
    shift $(( at - 1 )) words
    (( CURRENT -= at - 1 ))
    _highwater_pipeline yes
}

if [ "$funcstack[1]" = "_highwater" ]; then
    _highwater "$@"
else
    compdef _highwater highwater
fi
