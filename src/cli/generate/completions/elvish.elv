# Stages and their parameters, in the :: form.
var highwater-parameters = [
@PARAMETERS@
]
var highwater-options = $edit:completion:arg-completer[highwater]
set edit:completion:arg-completer[highwater] = {|@words|
    use str
    $highwater-options $@words
    var begin = 1
    var is-first = $true
    for at [(range 1 (- (count $words) 1))] {
        var word = $words[$at]
        if (eq $word '::') {
            set begin = (+ $at 1)
            set is-first = $false
        } elif (and (== $begin $at) (or (str:has-prefix $word '-') (eq $word explain))) {
            set begin = (+ $at 1)
        }
    }
    if (== $begin (- (count $words) 1)) {
        if $is-first {
            all [@FIRST@]
        } else {
            all [@LATER@]
        }
    } elif (has-key $highwater-parameters $words[$begin]) {
        for parameter $highwater-parameters[$words[$begin]] {
            edit:complex-candidate $parameter &code-suffix=''
        }
        if (has-value [read write] $words[$begin]) {
            edit:complete-filename $@words
        }
    }
}
