# Stages and their parameters, in the :: form and inside a quoted pipeline.

# Every stage, each with what it does.
function __highwater_stages
    printf '%s\t%s\n' \
@STAGES@
end

function __highwater_parameters
    switch $argv[1]
@PARAMETERS@
    end
end

# The words of the command line before the cursor's from the pipeline on; fails where there is no pipeline yet.
function __highwater_words
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case explain
            case demo ctl report generate stages check
                return 1
            case '-*'
                contains -- $words[1] @VALUED@; and set -e words[1]
            case '*'
                break
        end
        set -q words[1]; or return 1
        set -e words[1]
    end
    string join -- \n $words
    return 0
end

# What can stand at the end of a stage. $argv[1]: whether it is the first; the others: its words so far.
function __highwater_stage
    if not set -q argv[2]
        set -l names @LATER@
        test $argv[1] = yes; and set names @FIRST@
        for line in (__highwater_stages)
            contains -- (string split -f 1 \t -- $line) $names; and echo $line
        end
        return
    end
    __highwater_parameters $argv[2]
end

function __highwater_pipeline
    set -l words (__highwater_words); or return
    set -l token (commandline -ct)
    if string match -qr '^[\'"]' -- $token
        # Inside quotes: what is answered begins with all of the word.
        set -q words[1]; and return
        set -l text (string sub -s 2 -- $token)
        set -l head (string replace -r '[^\s|]*$' '' -- $text)
        set -l stage (string trim -- (string replace -r '^.*\|' '' -- $head))
        set -l is_first yes
        string match -q '*|*' -- $head; and set is_first no
        __highwater_stage $is_first (string split -n ' ' -- $stage) | string replace -r '^' -- (string escape --style=regex -- $head | string replace -ra '\\\\(.)' '$1')
        return
    end
    set -l is_first yes
    set -l stage
    for word in $words
        if test "$word" = '::'
            set is_first no
            set stage
        else
            set -a stage $word
        end
    end
    __highwater_stage $is_first $stage
    if contains -- "$stage[1]" read write
        printf '%s\n' @ENDPOINTS@
    end
end

complete -c highwater -k -n '__highwater_words >/dev/null' -a '(__highwater_pipeline)'
complete -c highwater -k -n '__fish_seen_subcommand_from stages' -f -a '(__highwater_stages)'
