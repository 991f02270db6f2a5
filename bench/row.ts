/** One line of a bench's table. `goal` and `peer` are in the same unit as `value`; `ratio` is ours to the peer's. */
export interface Row {
  readonly case: string
  readonly value: number
  readonly unit: string
  readonly goal?: number
  /** `max` (the default): at most the goal is good; `min`: at least. */
  readonly better?: 'max' | 'min'
  readonly peer?: number
  readonly ratio?: number
  /** What limits it, or what was measured. */
  readonly note?: string
}
