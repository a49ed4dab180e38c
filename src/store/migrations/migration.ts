/** One numbered step of the schema. Statements run in order, in the one transaction of the whole migration run. */
export interface NumberedMigration {
  /** counts from 1 without gaps; never changed once released */
  readonly number: number;
  /** what it does, in kebab-case */
  readonly name: string;
  /** plain PostgreSQL, one statement an entry */
  readonly statements: readonly string[];
}
