import Arguments
import Foundations
import Training

let program = Program(
  name: "nano-reasoner", version: RunRecord.programVersion,
  summary: "Post-training for mathematical reasoning: SFT, then reinforcement learning with algorithms as plugins.",
  commands: [
    Command(SFTCommand.spec, run: SFTCommand.run),
    Command(RLCommand.spec, run: RLCommand.run),
    Command(EvalCommand.spec, run: EvalCommand.run),
    Command(GenerateCommand.spec, run: GenerateCommand.run),
    Command(ScoreCommand.spec, run: ScoreCommand.run),
    Command(TokenizeCommand.spec, run: TokenizeCommand.run),
    Command(ExportCommand.spec, run: ExportCommand.run),
    Command(PretrainCommand.spec, run: PretrainCommand.run),
    .group("data", "data sets", [Command(DataCommand.spec, run: DataCommand.run)]),
    Command(DoctorCommand.spec, run: DoctorCommand.run),
  ])

exit(program.main(Array(CommandLine.arguments.dropFirst())).rawValue)
